package watch

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/scan"
)

// A partition of which nothing is held, and whose worker has read no further
// since the last look, either waits (for memory, for a schema), or holds
// nothing but the markers of transactions. To know which, its first records
// are read.
const (
	peekOffsets = 100 // of each partition
	peekParts   = 64  // at a time
	peekTime    = 2 * time.Second
)

// glimpse is what was seen of the stretch from one offset to another.
type glimpse struct {
	from, to int64
	empty    bool      // markers alone
	written  time.Time // its first record, if it is not empty
}

// covers reports whether the glimpse still says something: more may have come
// behind records that were seen, but not behind markers alone.
func (g glimpse) covers(from, to int64) bool {
	return g.from == from && (g.to == to || !g.empty)
}

// still lists the stretches of partitions at which nothing moves.
func still(parts []Part, before map[place]int64, starts, ends kadm.ListedOffsets, known map[place]glimpse) scan.Ranges {
	stretches, n := scan.Ranges{}, 0
	for _, p := range parts {
		at := place{p.Topic, p.Partition}
		from, to := p.unread(starts, ends)
		if last, seen := before[at]; p.Held > 0 || from >= to || !seen || last != p.Next || n == peekParts {
			continue
		}
		if g, ok := known[at]; ok && g.covers(from, to) {
			continue
		}
		stretches.Set(p.Topic, p.Partition, scan.Range{From: from, To: min(to, from+peekOffsets)})
		n++
	}
	return stretches
}

// peek reads the first record of each stretch. Where none is among the first
// offsets, nothing is known of a stretch that goes on behind them.
func (w *Watcher) peek(ctx context.Context, stretches scan.Ranges, ends kadm.ListedOffsets) error {
	if len(stretches) == 0 {
		return nil
	}
	first := map[place]time.Time{}
	result, err := scan.Scanner{Connect: w.cfg.Kafka}.Read(ctx, stretches, scan.Budget{Time: peekTime}, func(r *kgo.Record) error {
		at := place{r.Topic, r.Partition}
		if _, ok := first[at]; !ok {
			first[at] = r.Timestamp
		}
		return nil
	})
	if err != nil {
		return err
	}
	for topic, partitions := range stretches {
		for num, stretch := range partitions {
			at := place{topic, num}
			end, _ := ends.Lookup(topic, num)
			written, found := first[at]
			if found || result.Partial == "" && stretch.To == end.Offset {
				w.peeked[at] = glimpse{from: stretch.From, to: end.Offset, empty: !found, written: written}
			}
		}
	}
	return nil
}
