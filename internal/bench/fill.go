package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

// filler writes what waits for a worker, as producers and a worker before it
// would have.
type filler struct {
	client *kgo.Client
	s      scale
	sink   topics.Sink
	next   [partitionsAtScale]int64 // offset of the source's next record
	random *rand.ChaCha8

	mu     sync.Mutex
	failed error
}

func newFiller(b *bed, s scale, sink topics.Sink) (*filler, error) {
	opts, err := kafka.Options(kafka.Config{Brokers: b.brokers})
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1<<20), kgo.ProducerLinger(20*time.Millisecond))...)
	return &filler{client: client, s: s, sink: sink, random: rand.NewChaCha8([32]byte{})}, err
}

// backlog fills the source.
func (f *filler) backlog(ctx context.Context) error {
	for i := range f.s.Records {
		key := f.key(i)
		f.source(ctx, i, body(i, key))
	}
	return f.flush(ctx)
}

// parked fills the tiers in turn with records that failed once: it writes
// them to the source, where nobody reads them again, commits the source behind
// them, and adds some that nobody has read.
func (f *filler) parked(ctx context.Context, due time.Time, fresh int) error {
	now := time.Now()
	for i := range f.s.Records {
		at := f.source(ctx, i, nil)
		tier := f.sink.Tiers[i%len(f.sink.Tiers)]
		env := record.Envelope{
			Event:   holdfast.Event{ID: at.String(), Key: []byte(f.key(i)), Origin: at, Time: now},
			Payload: f.noise(), Sink: f.sink.Name, Spent: 1, Due: due,
		}
		failure := holdfast.Failure{Class: holdfast.ClassVendor5xx, Status: 503, Err: errUnavailable}
		env.Fail(failure, now)
		env.FirstAttempt = now
		env.Attempts = env.Attempts.Add(record.Entry{Time: now, Class: failure.Class, Status: failure.Status, Millis: 31})
		f.produce(ctx, env.To(topics.Retry(f.sink.Name, tier), at.Partition, 1))
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	done := make(kadm.Offsets)
	for num, offset := range f.next {
		done.AddOffset(f.sink.In, int32(num), offset, -1)
	}
	if err := kadm.NewClient(f.client).CommitAllOffsets(ctx, topics.Group(f.sink.Name), done); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for i := range fresh {
		f.source(ctx, f.s.Records+i, f.noise())
	}
	return f.flush(ctx)
}

var errUnavailable = errors.New("503 Service Unavailable")

// key of the i-th record; those beyond the case's records are fresh ones with
// keys of their own.
func (f *filler) key(i int) string {
	if i >= f.s.Records {
		return fmt.Sprintf("new_%08d", i)
	}
	return fmt.Sprintf("cus_%08d", i%f.s.Keys)
}

// source writes the i-th record and tells where it lies.
func (f *filler) source(ctx context.Context, i int, value []byte) holdfast.Coordinates {
	num := i % f.s.Keys % partitionsAtScale // one partition for each key
	at := holdfast.Coordinates{Topic: f.sink.In, Partition: int32(num), Offset: f.next[num]}
	f.next[num]++
	f.produce(ctx, &kgo.Record{Topic: at.Topic, Partition: at.Partition, Key: []byte(f.key(i)), Value: value})
	return at
}

func (f *filler) produce(ctx context.Context, r *kgo.Record) {
	f.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
		if err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.failed = err
		}
	})
}

func (f *filler) flush(ctx context.Context) error {
	err := f.client.Flush(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(err, f.failed)
}

// noise is a value of 1 KiB that no codec makes smaller.
func (f *filler) noise() []byte {
	value := make([]byte, 1<<10)
	_, _ = f.random.Read(value)
	return value
}
