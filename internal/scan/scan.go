// Package scan reads stretches of topics from one offset to another, outside
// of any consumer group: for the tools that show and count records. It reads
// committed records only, ends where the topics ended when it was asked, and
// holds no more than a few megabytes. [Follow] reads what is written from now on.
package scan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrStop ends a scan early; the scan itself returns no error for it.
var ErrStop = errors.New("stop")

// Budget bounds a scan; zero fields are no bound.
type Budget struct {
	Bytes   int64         // of keys, values and headers
	Records int64         // that the scan may read
	Time    time.Duration // from the start of the scan
}

// Result says how a scan ended.
type Result struct {
	Records int64
	Bytes   int64
	// Partial says why not all was read, or is "": the budget's bound that was
	// hit, or that brokers sent nothing more.
	Partial string
}

// Bounds of what a scan holds at once.
const (
	fetchBytes     = 8 << 20
	partitionBytes = 2 << 20
	batchBytes     = 64 << 20
	// silence is how long brokers may send nothing of what they said they have.
	silence = 15 * time.Second
)

// Scanner reads ranges. Connect holds the options that name and authenticate
// the cluster: seed brokers, TLS, SASL, client id.
type Scanner struct {
	Connect []kgo.Opt
}

// Read calls each for every record of the ranges, in order within a partition,
// until all are read, the budget is spent, each returns [ErrStop], or ctx ends. A
// record is each's to keep.
func (s Scanner) Read(ctx context.Context, ranges Ranges, budget Budget, each func(*kgo.Record) error) (Result, error) {
	var run run
	run.budget, run.each, run.left = budget, each, remaining(ranges)
	if len(run.left) == 0 {
		return run.result, nil
	}
	client, err := kgo.NewClient(append(slices.Clip(s.Connect),
		kgo.ConsumePartitions(ranges.starts()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // a gap is an error, never a jump
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they tell that a partition's end was reached
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(partitionBytes),
		kgo.MaxConcurrentFetches(2),
		kgo.MaxDecompressBatchBytes(batchBytes),
		kgo.FetchMaxWait(500*time.Millisecond),
	)...)
	if err != nil {
		return run.result, fmt.Errorf("scan: %w", err)
	}
	defer client.CloseAllowingRebalance()
	if budget.Time > 0 {
		run.deadline = time.Now().Add(budget.Time)
	}
	err = run.poll(ctx, client)
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return run.result, err
}

// One returns the record at one offset; ok is false where there is none.
func (s Scanner) One(ctx context.Context, topic string, partition int32, offset int64) (r *kgo.Record, ok bool, err error) {
	ranges := Ranges{}
	ranges.Set(topic, partition, Range{From: offset, To: offset + 1})
	_, err = s.Read(ctx, ranges, Budget{}, func(found *kgo.Record) error {
		r = found
		return ErrStop
	})
	return r, r != nil, err
}

type place struct {
	topic     string
	partition int32
}

// run is one scan under way.
type run struct {
	budget   Budget
	deadline time.Time
	each     func(*kgo.Record) error
	left     map[place]int64    // partitions not yet at their end, and the end
	finished map[string][]int32 // reached their end since the last poll
	result   Result
}

func remaining(ranges Ranges) map[place]int64 {
	left := map[place]int64{}
	for topic, partitions := range ranges {
		for p, stretch := range partitions {
			if stretch.From < stretch.To {
				left[place{topic, p}] = stretch.To
			}
		}
	}
	return left
}

func (r *run) poll(ctx context.Context, client *kgo.Client) error {
	for len(r.left) > 0 {
		fetches, waited, err := r.next(ctx, client)
		if err != nil {
			return err
		}
		if waited {
			r.result.Partial = r.whyWaited()
			return nil
		}
		if err := firstError(fetches); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			if err := r.take(it.Next()); err != nil {
				return err
			}
			if r.result.Partial != "" {
				return nil
			}
		}
		if len(r.finished) > 0 { // what a busy topic gets after the scan's end is not fetched
			client.PauseFetchPartitions(r.finished)
			r.finished = nil
		}
	}
	return nil
}

// next polls until records come, the budget's time is over or the brokers
// have been silent for too long.
func (r *run) next(ctx context.Context, client *kgo.Client) (fetches kgo.Fetches, waited bool, err error) {
	limit := time.Now().Add(silence)
	if !r.deadline.IsZero() && r.deadline.Before(limit) {
		limit = r.deadline
	}
	turn, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	fetches = client.PollRecords(turn, 1000)
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	return fetches, turn.Err() != nil && fetches.NumRecords() == 0, nil
}

func (r *run) whyWaited() string {
	if !r.deadline.IsZero() && !time.Now().Before(r.deadline) {
		return fmt.Sprintf("time budget of %s spent", r.budget.Time)
	}
	return fmt.Sprintf("brokers sent nothing for %s", silence)
}

func firstError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) {
			continue // the turn's own end
		}
		return fmt.Errorf("read %s-%d: %w", e.Topic, e.Partition, e.Err)
	}
	return nil
}

func (r *run) take(rec *kgo.Record) error {
	at := place{rec.Topic, rec.Partition}
	end, open := r.left[at]
	if !open {
		return nil
	}
	if rec.Offset >= end-1 {
		delete(r.left, at)
		if r.finished == nil {
			r.finished = map[string][]int32{}
		}
		r.finished[at.topic] = append(r.finished[at.topic], at.partition)
	}
	if rec.Offset >= end || rec.Attrs.IsControl() {
		return nil
	}
	r.result.Records++
	r.result.Bytes += size(rec)
	if err := r.each(rec); err != nil {
		return err
	}
	switch {
	case len(r.left) == 0:
	case r.budget.Records > 0 && r.result.Records >= r.budget.Records:
		r.result.Partial = fmt.Sprintf("budget of %d records spent", r.budget.Records)
	case r.budget.Bytes > 0 && r.result.Bytes >= r.budget.Bytes:
		r.result.Partial = fmt.Sprintf("budget of %d bytes spent", r.budget.Bytes)
	case !r.deadline.IsZero() && time.Now().After(r.deadline):
		r.result.Partial = fmt.Sprintf("time budget of %s spent", r.budget.Time)
	}
	return nil
}

func size(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}
