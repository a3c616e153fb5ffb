package scan

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Windows of a backward scan: it reads the last few records of every partition
// first, then twice as many, and so on.
const firstWindow = 5000

// Backwards reads the ranges newest first, window by window, so that a budget
// that does not suffice for all is spent on what is recent. Within a window
// records come oldest first.
func (s Scanner) Backwards(ctx context.Context, ranges Ranges, budget Budget, each func(*kgo.Record) error) (Result, error) {
	var total Result
	began := time.Now()
	left := Ranges{}
	left.Merge(ranges)
	for width := int64(firstWindow); len(left) > 0; width *= 2 {
		rest, ok := budget.minus(total, time.Since(began))
		if !ok {
			total.Partial = fmt.Sprintf("budget spent, %d offsets not read", left.Offsets())
			return total, nil
		}
		window := left.cutLast(width)
		result, err := s.Read(ctx, window, rest, each)
		total.Records += result.Records
		total.Bytes += result.Bytes
		if err != nil {
			return total, err
		}
		if result.Partial != "" {
			total.Partial = result.Partial
			return total, nil
		}
	}
	return total, nil
}

// minus is what remains of a budget; ok is false if nothing does.
func (b Budget) minus(spent Result, took time.Duration) (rest Budget, ok bool) {
	if b.Bytes > 0 {
		if b.Bytes -= spent.Bytes; b.Bytes <= 0 {
			return b, false
		}
	}
	if b.Records > 0 {
		if b.Records -= spent.Records; b.Records <= 0 {
			return b, false
		}
	}
	if b.Time > 0 {
		if b.Time -= took; b.Time <= 0 {
			return b, false
		}
	}
	return b, true
}

// cutLast takes the last width offsets of every stretch out of r.
func (r Ranges) cutLast(width int64) Ranges {
	window := Ranges{}
	for topic, partitions := range r {
		for p, stretch := range partitions {
			cut := max(stretch.From, stretch.To-width)
			window.Set(topic, p, Range{From: cut, To: stretch.To})
			delete(partitions, p)
			r.Set(topic, p, Range{From: stretch.From, To: cut})
		}
		if len(partitions) == 0 {
			delete(r, topic)
		}
	}
	return window
}
