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
	event, partial, err := s.answered(ctx)
	switch {
	case err != nil:
		return err
	case event != "":
		s.named[event] = true
		return nil
	case len(s.query) >= LeastText:
		s.text = avroText(s.query)
	default:
		return nil
	}
	err = s.read(ctx)
	s.partial = cmp.Or(s.partial, partial)
	return err
}

// answered returns the id of the event of whose object or request the vendor's
// id is the query; "" for none.
func (s *search) answered(ctx context.Context) (event, partial string, err error) {
	extents, err := scan.MeasureExisting(ctx, s.lookup.admin(), topics.Receipts)
	if err != nil || len(extents) == 0 {
		return "", "", err
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
			_, event, _ = strings.Cut(string(r.Key), "/")
		}
		return nil
	})
	return event, result.Partial, err
}

// avroText is how Avro writes a string: its length, and its bytes. So a text is
// found without a schema, and not as a part of a longer one.
func avroText(text string) []byte {
	return append(binary.AppendVarint(nil, int64(len(text))), text...)
}
