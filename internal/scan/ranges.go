package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrNoTopic reports a topic that the cluster does not have.
var ErrNoTopic = errors.New("no such topic")

// Range is a stretch of a partition: From is read, To is not.
type Range struct{ From, To int64 }

// Ranges says what to read: topic, partition, stretch.
type Ranges map[string]map[int32]Range

// Set adds a stretch; an empty one is left out.
func (r Ranges) Set(topic string, partition int32, stretch Range) {
	if stretch.From >= stretch.To {
		return
	}
	if r[topic] == nil {
		r[topic] = map[int32]Range{}
	}
	r[topic][partition] = stretch
}

// Merge adds the stretches of other.
func (r Ranges) Merge(other Ranges) {
	for topic, partitions := range other {
		for p, stretch := range partitions {
			r.Set(topic, p, stretch)
		}
	}
}

// Only returns the stretches of one partition number, as tiers and dead
// letters of a record keep the partition number of its source.
func (r Ranges) Only(partition int32) Ranges {
	out := Ranges{}
	for topic, partitions := range r {
		if stretch, ok := partitions[partition]; ok {
			out.Set(topic, partition, stretch)
		}
	}
	return out
}

// Offsets counts the offsets in all stretches: at least the number of records.
func (r Ranges) Offsets() int64 {
	var n int64
	for _, partitions := range r {
		for _, stretch := range partitions {
			n += stretch.To - stretch.From
		}
	}
	return n
}

// Extents are the bounds of every partition of some topics, frozen at one moment.
type Extents map[string]map[int32]Range

// Measure asks for the first offset and the last stable one of each partition.
// What stands behind an open transaction does not exist yet. A topic that the
// cluster does not have is [ErrNoTopic].
func Measure(ctx context.Context, admin *kadm.Client, topics ...string) (Extents, error) {
	out, missing, err := measure(ctx, admin, topics)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s: %w", missing[0], ErrNoTopic)
	}
	return out, nil
}

// MeasureExisting is [Measure] without the topics that do not exist.
func MeasureExisting(ctx context.Context, admin *kadm.Client, topics ...string) (Extents, error) {
	out, _, err := measure(ctx, admin, topics)
	return out, err
}

func measure(ctx context.Context, admin *kadm.Client, topics []string) (out Extents, missing []string, err error) {
	out = Extents{}
	if len(topics) == 0 { // kadm would list every topic there is
		return out, nil, nil
	}
	ends, err := admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return nil, nil, fmt.Errorf("list end offsets: %w", err)
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, nil, fmt.Errorf("list start offsets: %w", err)
	}
	for _, topic := range slices.Sorted(maps.Keys(setOf(topics))) {
		partitions := map[int32]Range{}
		for p, end := range ends[topic] {
			if errors.Is(end.Err, kerr.UnknownTopicOrPartition) {
				continue
			}
			start, ok := starts.Lookup(topic, p)
			if err := errors.Join(end.Err, start.Err); err != nil || !ok {
				return nil, nil, fmt.Errorf("list offsets of %s-%d: %w", topic, p, cmp.Or(err, error(kerr.UnknownTopicOrPartition)))
			}
			partitions[p] = Range{From: start.Offset, To: max(start.Offset, end.Offset)}
		}
		if len(partitions) == 0 {
			missing = append(missing, topic)
			continue
		}
		out[topic] = partitions
	}
	return out, missing, nil
}

// AwaitStable waits until what lies before the given offsets can be read:
// Kafka answers the end of a transaction before every partition knows of it.
// It gives up after atMost, or when ctx ends, and returns whether all can.
func AwaitStable(ctx context.Context, admin *kadm.Client, before kadm.Offsets, atMost time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		ends, err := admin.ListCommittedOffsets(ctx, slices.Collect(maps.Keys(before))...)
		if ctx.Err() != nil {
			return false, nil // time is up in the middle of a question
		}
		if err != nil {
			return false, fmt.Errorf("list end offsets: %w", err)
		}
		if stable(ends, before) {
			return true, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false, nil
		case <-timer.C:
		}
	}
}

func stable(ends kadm.ListedOffsets, before kadm.Offsets) bool {
	for topic, partitions := range before {
		for p, o := range partitions {
			if end, ok := ends.Lookup(topic, p); !ok || end.Err != nil || end.Offset < o.At {
				return false
			}
		}
	}
	return true
}

func setOf(topics []string) map[string]struct{} {
	set := make(map[string]struct{}, len(topics))
	for _, t := range topics {
		set[t] = struct{}{}
	}
	return set
}

// Whole returns all that there is to read.
func (e Extents) Whole() Ranges {
	out := Ranges{}
	for topic, partitions := range e {
		for p, stretch := range partitions {
			out.Set(topic, p, stretch)
		}
	}
	return out
}

// From returns what lies at and beyond the given positions. A partition
// without a position is read from its start.
func (e Extents) From(position func(topic string, partition int32) (int64, bool)) Ranges {
	out := Ranges{}
	for topic, partitions := range e {
		for p, stretch := range partitions {
			if at, ok := position(topic, p); ok {
				stretch.From = max(stretch.From, at)
			}
			out.Set(topic, p, stretch)
		}
	}
	return out
}

// Since returns what was written at or after t, by the records' timestamps.
func (e Extents) Since(ctx context.Context, admin *kadm.Client, t time.Time) (Ranges, error) {
	if t.IsZero() || len(e) == 0 {
		return e.Whole(), nil
	}
	after, err := admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), slices.Sorted(maps.Keys(e))...)
	if err != nil {
		return nil, fmt.Errorf("list offsets since %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	return e.From(func(topic string, p int32) (int64, bool) {
		o, ok := after.Lookup(topic, p)
		return o.Offset, ok && o.Err == nil && o.Offset >= 0
	}), nil
}

func (r Ranges) starts() map[string]map[int32]kgo.Offset {
	out := make(map[string]map[int32]kgo.Offset, len(r))
	for topic, partitions := range r {
		out[topic] = make(map[int32]kgo.Offset, len(partitions))
		for p, stretch := range partitions {
			out[topic][p] = kgo.NewOffset().At(stretch.From)
		}
	}
	return out
}
