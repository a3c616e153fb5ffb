package lookup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// LeastText is how many bytes a text has at least that is looked for in values:
// shorter ones would be found by chance.
const LeastText = 4

// spend takes the time that was spent off the budget, and reports whether any is left.
func (s *search) spend(took time.Duration) bool {
	if s.budget.Time == 0 { // without end
		return true
	}
	s.budget.Time -= took
	return s.budget.Time > 0
}

// elsewhere looks again where the query is no id and no key: among what vendors
// answered, then for a text in the values, such as an invoice's number.
func (s *search) elsewhere(ctx context.Context) error {
	if !s.origin.IsZero() || s.query == "" {
		return nil
	}
	if err := s.answered(ctx); err != nil || len(s.named) > 0 || len(s.query) < LeastText {
		return err
	}
	s.text = avroText(s.query)
	return s.read(ctx)
}

// answered names the events of whose object or request the vendor's id is the
// query. Of one id there may be many: a batch is one request, and two accounts
// of a vendor may number their objects alike.
func (s *search) answered(ctx context.Context) error {
	extents, err := scan.MeasureExisting(ctx, s.lookup.admin(), topics.Receipts)
	if err != nil || len(extents) == 0 {
		return err
	}
	sinks := map[string]bool{}
	for _, t := range s.lookup.Targets {
		sinks[t.Name] = !t.Processor
	}
	ranges := scan.Ranges{}
	ranges.Merge(scan.Ranges(extents)) // without empty ones
	budget := scan.Budget{Time: receiptBudget, Bytes: s.budget.Bytes}
	result, err := s.lookup.Scanner.Backwards(ctx, ranges, budget, func(r *kgo.Record) error {
		if !bytes.Contains(r.Value, []byte(s.query)) {
			return nil
		}
		var receipt record.Receipt
		if json.Unmarshal(r.Value, &receipt) == nil && (receipt.ObjectID == s.query || receipt.RequestID == s.query) {
			if sink, event, _ := strings.Cut(string(r.Key), "/"); sinks[sink] {
				s.named[event] = true
			}
		}
		return nil
	})
	s.partial = cmp.Or(s.partial, result.Partial)
	return err
}

// avroText is how Avro writes a string: its length, and its bytes. So a text is
// found without a schema, and not as a part of a longer one.
func avroText(text string) []byte {
	return append(binary.AppendVarint(nil, int64(len(text))), text...)
}
