//go:build synctests

package delivery

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"holdfast.internal"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// batches is a sink that takes ten events at a time and refuses a batch with a
// bad one as a whole.
type batches struct {
	*world
	mu    sync.Mutex
	sizes []int
	twice bool // a batch held two events of one key
}

func (b *batches) Batch() sinks.BatchLimits {
	return sinks.BatchLimits{Events: 10, Linger: 20 * time.Millisecond}
}

func (b *batches) DeliverBatch(_ context.Context, batch []*sinks.Attempt) []error {
	keys := map[string]bool{}
	bad := false
	for _, a := range batch {
		b.mu.Lock()
		b.twice = b.twice || keys[string(a.Event.Key)]
		b.mu.Unlock()
		keys[string(a.Event.Key)] = true
		bad = bad || a.Event.ID == "7"
	}
	b.mu.Lock()
	b.sizes = append(b.sizes, len(batch))
	b.mu.Unlock()
	verdicts := make([]error, len(batch))
	for i, a := range batch {
		if bad {
			verdicts[i] = &holdfast.SplitError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 400, Err: errVendor}}
			continue
		}
		verdicts[i] = b.arrive(a)
	}
	return verdicts
}

func TestP8ABatchIsSplitUntilTheBadRecordIsAlone(t *testing.T) {
	t.Parallel()
	refuse := func(a *sinks.Attempt, _ int) error {
		if a.Event.ID == "7" {
			return &holdfast.PermanentError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 400, Err: errVendor}}
		}
		return nil
	}
	inWorld(t, Config{Concurrency: 2}, refuse, func(w *world) {
		b := &batches{world: w}
		w.sink = b
		w.produceKeys(100, 20)
		stop := w.worker()
		defer stop()
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != 99 {
			t.Errorf("delivered %d of 99", got)
		}
		if dead := w.read(topics.DeadLetters("s")); len(dead) != 1 {
			t.Errorf("%d dead letters, want the bad record", len(dead))
		}
		if b.twice {
			t.Error("a batch held two records of one key")
		}
		if len(b.sizes) > 30 {
			t.Errorf("%d requests for 100 records: %v", len(b.sizes), b.sizes)
		}
		last := map[int]int{}
		for _, a := range w.all() {
			i, _ := strconv.Atoi(a.id)
			if i < last[i%20] {
				t.Fatalf("event %d came after %d", i, last[i%20])
			}
			last[i%20] = i
		}
	})
}

// connecting is a sink whose batches wait for connections, which are all ready
// at each even second.
type connecting struct {
	*world

	guard sync.Mutex
	sent  counted
}

func (*connecting) Batch() sinks.BatchLimits {
	return sinks.BatchLimits{Events: 10, Linger: 20 * time.Millisecond}
}

func (c *connecting) Deliver(ctx context.Context, a *sinks.Attempt) error {
	return c.DeliverBatch(ctx, []*sinks.Attempt{a})[0]
}

func (c *connecting) DeliverBatch(ctx context.Context, batch []*sinks.Attempt) []error {
	verdicts := make([]error, len(batch))
	gate := batch[0].Gate
	if err := gate.Pass(ctx, "", 1); err != nil {
		for i := range verdicts {
			verdicts[i] = err
		}
		return verdicts
	}
	pass(2*time.Second - time.Since(c.began)%(2*time.Second))
	gate.Sent()
	c.guard.Lock()
	c.sent.add(time.Since(c.began), 1)
	c.guard.Unlock()
	for i, a := range batch {
		verdicts[i] = c.arrive(a)
	}
	return verdicts
}

// TestP6ALimitHoldsForBatches, that pay when they go and not when they begin to
// fill: what fills meanwhile, and what waits for a connection, does not go on top.
func TestP6ALimitHoldsForBatches(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 24}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		c := &connecting{world: w}
		w.sink, w.limit = c, quota.Local(quota.Limit{Name: "s", Rate: 20, Burst: 5})
		stop := w.worker()
		defer stop()
		for i := range 60 * 20 {
			w.event(strconv.Itoa(i), strconv.Itoa(i), "")
			pass(50 * time.Millisecond)
		}
		c.guard.Lock()
		defer c.guard.Unlock()
		c.sent.keeps(t, "the account", 20, 5)
		if got := c.sent.sum(0, 60*time.Second); got < 60 { // a burst in two seconds
			t.Errorf("%v requests in a minute", got)
		}
	})
}

// losing is a sink under whose first batch half of the partitions are lost; it
// splits that one.
type losing struct {
	*world
	lost bool
	late []string // events of a lost partition that came afterwards
}

func (*losing) Batch() sinks.BatchLimits {
	return sinks.BatchLimits{Events: 10, Linger: 20 * time.Millisecond}
}

func (l *losing) Deliver(ctx context.Context, a *sinks.Attempt) error {
	return l.DeliverBatch(ctx, []*sinks.Attempt{a})[0]
}

func (l *losing) DeliverBatch(ctx context.Context, batch []*sinks.Attempt) []error {
	verdicts := make([]error, len(batch))
	for i, a := range batch {
		switch {
		case !l.lost:
			verdicts[i] = &holdfast.SplitError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 400, Err: errVendor}}
		case a.Event.Origin.Partition == 1:
			l.late = append(l.late, a.Event.ID)
		default:
			verdicts[i] = l.arrive(a)
		}
	}
	if !l.lost {
		l.lost = true
		gone := map[string][]int32{}
		for _, topic := range l.running.sched.layout.names {
			gone[topic] = []int32{1}
		}
		l.running.lost(ctx, l.running.client, gone)
	}
	return verdicts
}

// TestABatchLeavesOutWhatWasLost: what was this worker's when the batch was
// made may be another's when it goes.
func TestABatchLeavesOutWhatWasLost(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 1}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		l := &losing{world: w}
		w.sink = l
		w.produce(10)
		stop := w.worker()
		defer stop()
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		if !l.lost || len(l.late) > 0 {
			t.Errorf("lost %t; sent afterwards: %v", l.lost, l.late)
		}
		if n := w.delivered(); n != 5 {
			t.Errorf("delivered %d of the 5 that are left", n)
		}
	})
}
