package lookup

import (
	"context"
	"encoding/json"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// receiptBudget bounds the reading of receipts, which come after all else.
const receiptBudget = 5 * time.Second

// receipts reads what vendors answered about the records that were found.
// Keys say in which partition a receipt lies, so that only those are read.
func (s *search) receipts(ctx context.Context) (found map[string]record.Receipt, partial string, err error) {
	extents, err := scan.MeasureExisting(ctx, s.lookup.admin(), topics.Receipts)
	if err != nil || len(extents) == 0 {
		return nil, "", err
	}
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(topics.Receipts)
	wanted, ranges := map[string]bool{}, scan.Ranges{}
	for _, k := range s.tracks {
		if k.target.Processor {
			continue
		}
		key := string(record.ReceiptKey(k.target.Name, k.seen[0].e.Event.ID))
		wanted[key] = true
		p := int32(partitioner.Partition(&kgo.Record{Key: []byte(key)}, len(extents[topics.Receipts]))) //nolint:gosec // a partition number
		ranges.Set(topics.Receipts, p, extents[topics.Receipts][p])
	}
	found = map[string]record.Receipt{}
	budget := scan.Budget{Time: receiptBudget, Bytes: s.budget.Bytes}
	result, err := s.lookup.Scanner.Backwards(ctx, ranges, budget, func(r *kgo.Record) error {
		var receipt record.Receipt
		if key := string(r.Key); wanted[key] && json.Unmarshal(r.Value, &receipt) == nil {
			if before, ok := found[key]; !ok || before.At.Before(receipt.At) {
				found[key] = receipt
			}
		}
		return nil
	})
	return found, result.Partial, err
}
