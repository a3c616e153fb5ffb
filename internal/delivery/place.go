package delivery

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

	"holdfast.internal/internal/growth"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

// From says where a sink whose place is lost begins: its source, its tiers and
// its redrive topic, each partition of them that has no committed offset. The
// zero value says nothing.
type From struct {
	latest bool
	at     time.Time // not before; the start of time for all there is
	given  bool
}

// ErrFrom reports a text that [ParseFrom] does not know.
var ErrFrom = errors.New("must be earliest, latest or a time such as 2026-01-31T12:00:00Z")

// ParseFrom reads earliest (all that the topics hold), latest (only what is
// written from now on) or a time in RFC 3339 (what was written since). ""
// says nothing.
func ParseFrom(text string) (From, error) {
	switch text {
	case "":
		return From{}, nil
	case "earliest":
		return From{given: true}, nil
	case "latest":
		return From{given: true, latest: true}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return From{}, fmt.Errorf("%q: %w", text, ErrFrom)
	}
	return From{given: true, at: at}, nil
}

// ErrPlaceLost reports a sink that cannot know what it has delivered.
var ErrPlaceLost = errors.New("the place of the sink is lost")

// CheckPlace refuses a sink whose group has no committed offset while its tiers
// or its redrive topic hold records: its offsets expired, or were deleted, and
// nobody knows which of the records were delivered. The error is
// [ErrPlaceLost] and says what to do. From in the configuration is an answer.
func CheckPlace(ctx context.Context, client *kgo.Client, cfg Config) error {
	if cfg.From.given {
		return nil
	}
	group := topics.Group(cfg.Sink)
	done, err := kafka.CommittedOffsets(ctx, client, group)
	if err != nil {
		return fmt.Errorf("sink %s: offsets of group %s: %w", cfg.Sink, group, err)
	}
	waiting := newLayout(cfg).waiting()
	for _, topic := range append([]string{cfg.Source}, waiting...) {
		for _, o := range done[topic] {
			if o.At >= 0 {
				return nil
			}
		}
	}
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, waiting...)
	if err != nil {
		return fmt.Errorf("sink %s: start of its tiers: %w", cfg.Sink, err)
	}
	ends, err := admin.ListEndOffsets(ctx, waiting...)
	if err != nil {
		return fmt.Errorf("sink %s: end of its tiers: %w", cfg.Sink, err)
	}
	for _, topic := range waiting {
		for num, end := range ends[topic] {
			start, ok := starts.Lookup(topic, num)
			if err := cmp.Or(start.Err, end.Err); err != nil || !ok {
				return fmt.Errorf("sink %s: what %s-%d holds: %w", cfg.Sink, topic, num, cmp.Or(err, error(kerr.UnknownTopicOrPartition)))
			}
			if start.Offset < end.Offset {
				return fmt.Errorf("sink %s: %w: its group %s has no offsets (they expire after 7 idle days), and %s holds records that may or may not have been delivered; "+
					"start it once with --from: earliest sends all that its topics hold again, under the same idempotency keys; "+
					"a time such as 2026-01-31T12:00:00Z what was written since; latest none of it", cfg.Sink, ErrPlaceLost, group, topic)
			}
		}
	}
	return nil
}

// startOffsets says where partitions begin that were never committed, and has
// that committed before anything is sent: a group without offsets has lost them.
// A new sink that is configured so begins at the end of its source; partitions
// that a source got since are read from their start.
func (w *Worker) startOffsets(ctx context.Context, at map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	select {
	case <-w.made:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	for topic, nums := range at {
		var open []int32
		for num, o := range nums {
			if o.EpochOffset().Offset < 0 {
				open = append(open, num)
			}
		}
		if len(open) == 0 {
			continue
		}
		offsets, err := w.beginnings(ctx, topic, open)
		if err != nil {
			return nil, err
		}
		for num, offset := range offsets {
			nums[num] = kgo.NewOffset().At(offset)
			w.sched.beginAt(topic, num, offset)
		}
	}
	return at, nil
}

// awaitPlace returns when it is committed where the first shards begin: a
// worker that was ready has a place.
func (w *Worker) awaitPlace(ctx context.Context) {
	for w.sched.unplaced() && sleep(ctx, placePause) == nil {
	}
}

const placePause = 10 * time.Millisecond

// lister asks where the partitions of topics are: their start, their end, or
// where a time begins.
type lister func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)

// beginnings is where some partitions of a topic begin.
func (w *Worker) beginnings(ctx context.Context, topic string, nums []int32) (map[int32]int64, error) {
	switch {
	case w.sched.layout.isLetters(topic): // whose dispositions say what is open
		return offsetsOf(ctx, w.admin.ListStartOffsets, topic, nums)
	case w.cfg.From.latest:
		return offsetsOf(ctx, w.admin.ListEndOffsets, topic, nums)
	case !w.cfg.From.at.IsZero():
		return offsetsOf(ctx, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return w.admin.ListOffsetsAfterMilli(ctx, w.cfg.From.at.UnixMilli(), topics...)
		}, topic, nums)
	case topic != w.cfg.Source || !w.cfg.FromLatest || w.cfg.From.given:
		return offsetsOf(ctx, w.admin.ListStartOffsets, topic, nums)
	}
	cut, err := growth.Read(ctx, w.aside, w.cfg.Sink, w.cfg.Source)
	if err != nil {
		return nil, err
	}
	isNew := func(num int32) bool { return cut != nil && num >= cut.From }
	out, err := offsetsOf(ctx, w.admin.ListStartOffsets, topic, slices.DeleteFunc(slices.Clone(nums), func(num int32) bool { return !isNew(num) }))
	if err != nil {
		return nil, err
	}
	ends, err := offsetsOf(ctx, w.admin.ListEndOffsets, topic, slices.DeleteFunc(nums, isNew))
	maps.Copy(out, ends)
	return out, err
}

func offsetsOf(ctx context.Context, list lister, topic string, nums []int32) (map[int32]int64, error) {
	out := make(map[int32]int64, len(nums))
	if len(nums) == 0 {
		return out, nil
	}
	listed, err := list(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("offsets of %s: %w", topic, err)
	}
	for _, num := range nums {
		o, ok := listed.Lookup(topic, num)
		if !ok || o.Err != nil {
			return nil, fmt.Errorf("offset of %s-%d: %w", topic, num, cmp.Or(o.Err, error(kerr.LeaderNotAvailable)))
		}
		out[num] = o.Offset
	}
	return out, nil
}
