package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/sinks"
)

// beSized is the worker process of a case of size.
const beSized = "sized"

// Ways out of a worker of a case of size.
const (
	throughFunc = "func" // a function that returns at once
	throughHTTP = "http" // the http sink and the vendor
)

// bucket is the grain in which deliveries are counted.
const bucket = 10 * time.Millisecond

// sightings are what only the worker process itself can see.
type sightings struct {
	Assigned time.Time `json:"assigned"`
	First    time.Time `json:"first"`
	Early    int       `json:"early"`   // sends before the due time
	Buckets  []int64   `json:"buckets"` // deliveries, from the first on
	Heap     uint64    `json:"heap"`    // live at the end, in bytes, beyond that of the start
}

func (s *sightings) delivered() (n int64) {
	for _, b := range s.Buckets {
		n += b
	}
	return n
}

// after is the time from the first delivery until a share of them was made.
func (s *sightings) after(share float64) time.Duration {
	want := int64(share * float64(s.delivered()))
	for i, b := range s.Buckets {
		if want -= b; want <= 0 {
			return time.Duration(i+1) * bucket
		}
	}
	return time.Duration(len(s.Buckets)) * bucket
}

// rates are the whole drain's, the median second's, and each quarter's.
func (s *sightings) rates() (drain, steady float64, quarters []float64) {
	drain = rate(s.Buckets)
	var seconds []float64
	for each := range slices.Chunk(s.Buckets, int(time.Second/bucket)) {
		if len(each) == int(time.Second/bucket) {
			seconds = append(seconds, rate(each))
		}
	}
	if len(seconds) == 0 {
		return drain, drain, nil
	}
	slices.Sort(seconds)
	for each := range slices.Chunk(s.Buckets, (len(s.Buckets)+3)/4) {
		quarters = append(quarters, rate(each))
	}
	return drain, seconds[len(seconds)/2], quarters
}

func rate(buckets []int64) float64 {
	s := sightings{Buckets: buckets}
	return float64(s.delivered()) / (time.Duration(len(buckets)) * bucket).Seconds()
}

// lookout collects sightings.
type lookout struct {
	j    job
	done chan struct{}

	mu   sync.Mutex
	n    int
	seen sightings
}

// OnBrokerRead notes the assignment: the answer to the group's last question.
func (l *lookout) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if kmsg.Key(key) == kmsg.SyncGroup && err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.n == 0 {
			l.seen.Assigned = time.Now()
		}
	}
}

// delivered counts one delivery.
func (l *lookout) delivered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.n++; l.n == 1 {
		l.seen.First = now
	}
	if now.Before(l.j.Due) {
		l.seen.Early++
	}
	at := int(now.Sub(l.seen.First) / bucket)
	for len(l.seen.Buckets) <= at {
		l.seen.Buckets = append(l.seen.Buckets, 0)
	}
	l.seen.Buckets[at]++
	if l.n == l.j.Records {
		close(l.done)
	}
}

// beWatched is the worker process: it prints its sightings once all records
// were delivered, and stays until its parent has looked at it.
func beWatched(ctx context.Context, text string) error {
	l := &lookout{done: make(chan struct{})}
	if err := json.Unmarshal([]byte(text), &l.j); err != nil {
		return err
	}
	inner := sinks.Sink(sinks.Func(func(context.Context, *sinks.Attempt) error { return nil }))
	if l.j.Vendor != "" {
		var err error
		if inner, err = httpSink(l.j); err != nil {
			return err
		}
	}
	w, err := newEngine(l.j, sinks.Func(func(ctx context.Context, a *sinks.Attempt) error {
		err := inner.Deliver(ctx, a)
		if err == nil {
			l.delivered()
		}
		return err
	}), kgo.WithHooks(l))
	if err != nil {
		return err
	}
	stopProfile, err := profile(l.j.Profile)
	if err != nil {
		return err
	}
	before := liveHeap()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	select {
	case <-l.done:
	case err := <-ended:
		return err
	}
	l.mu.Lock()
	l.seen.Heap = liveHeap() - before
	err = errors.Join(stopProfile(), json.NewEncoder(os.Stdout).Encode(l.seen))
	l.mu.Unlock()
	untilOrphaned(ctx)
	cancel()
	return errors.Join(err, <-ended)
}

func liveHeap() uint64 {
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return mem.HeapAlloc
}
