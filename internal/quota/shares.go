package quota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"holdfast.internal/internal/copartition"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

// Times of the connection.
const (
	tickEvery = 50 * time.Millisecond
	// goodbye bounds what is written at the end.
	goodbye = time.Second
	// lookBack is how much of the topic is read at the start, by its timestamps:
	// a term, before that what shows that it is one, and what clocks differ by.
	// Where it turns out to be too little, a new granter waits.
	lookBack = 5 * time.Second
)

// maxUnwritten is how many records may be on their way to the broker. Behind a
// silent one nothing piles up: what is late is worth nothing.
const maxUnwritten = 4

// partition is the one that is used.
const partition = 0

// Config is what a process needs to share limits.
type Config struct {
	// Instance is the process's stable name, if the deployment gives one: a
	// granter that restarts within the session then stays the granter.
	Instance string
	// Topic is [topics.Quota] by default; the consumer group has its name.
	Topic string
	// Kafka says how to reach the brokers.
	Kafka []kgo.Opt
	Log   *zap.Logger
}

// Shares shares limits with the other processes: one per process, running
// while anything is sent.
type Shares struct {
	log   *zap.Logger
	topic string
	conn  *kgo.Client // reads and writes the partition
	group *kgo.Client // is a member, to know who owns it

	mu   sync.Mutex
	peer *peer

	unwritten atomic.Int32
	failing   atomic.Bool
}

// New makes the clients; [Shares.Run] starts the sharing. Until then, and
// after, no bucket gives a token.
func New(cfg Config) (*Shares, error) {
	if cfg.Topic == "" {
		cfg.Topic = topics.Quota
	}
	s := &Shares{
		log:   cfg.Log.With(zap.String("topic", cfg.Topic)),
		topic: cfg.Topic,
		// A restarted process is another holder: it does not know what it held.
		peer: newPeer(cfg.Instance + "/" + uuid.NewString()[:8]),
	}
	var err error
	s.conn, err = kgo.NewClient(append(append([]kgo.Opt{}, cfg.Kafka...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{cfg.Topic: {partition: kgo.NewOffset().AfterMilli(time.Now().Add(-lookBack).UnixMilli())}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), // what was missed is noticed by its offset
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
	)...)
	if err != nil {
		return nil, fmt.Errorf("quota: kafka client: %w", err)
	}
	opts := append(append([]kgo.Opt{}, cfg.Kafka...), kafka.Member(cfg.Topic, cfg.Instance,
		copartition.Balancer())...) // whoever joins does not take the partition, and who comes back has it at once
	s.group, err = kgo.NewClient(append(opts,
		kgo.ConsumeTopics(cfg.Topic),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { s.own(p, true) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { s.own(p, false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { s.own(p, false) }),
	)...)
	if err != nil {
		s.conn.Close()
		return nil, fmt.Errorf("quota: kafka client: %w", err)
	}
	s.group.PauseFetchTopics(cfg.Topic) // the other client reads
	return s, nil
}

// Bucket returns this process's bucket of a limit. share is the static part of
// the limit that is the caller's while there is no granter: the fraction of
// its source's partitions that the process owns, divided by the number of
// sinks that share the limit. The parts of all callers in all processes must
// add up to at most 1 at any time. Buckets of equal names are one; its parts
// add up. share is called whenever the bucket is asked, and must be quick. No
// limit is not shared.
func (s *Shares) Bucket(l Limit, share func() float64) *Bucket {
	if l.Rate == rate.Inf {
		return Local(l)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer.add(l, share)
}

// Forget gives up a bucket that nobody uses any more. Its name had one caller.
func (s *Shares) Forget(b *Bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer.remove(b)
}

// Run shares until ctx ends, then gives back what it holds.
func (s *Shares) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { s.read(ctx) })
	loops.Go(func() { s.watchGroup(ctx) })
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	s.tick(ctx) // who has just come asks at once
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.tick(ctx)
		}
	}
	loops.Wait()
	s.leave(context.WithoutCancel(ctx))
	return nil
}

func (s *Shares) tick(ctx context.Context) {
	if s.unwritten.Load() >= maxUnwritten {
		return
	}
	s.mu.Lock()
	due := s.peer.tick(time.Now())
	s.mu.Unlock()
	// A record whose context ended would take those down that share its batch:
	// the farewell must not be among them.
	ctx = context.WithoutCancel(ctx)
	for _, m := range due {
		s.unwritten.Add(1)
		s.conn.Produce(ctx, s.record(m), func(_ *kgo.Record, err error) {
			s.unwritten.Add(-1)
			s.complain("write", err)
		})
	}
}

func (s *Shares) record(m *message) *kgo.Record {
	return &kgo.Record{Topic: s.topic, Partition: partition, Key: []byte(m.From), Value: m.encode()}
}

func (s *Shares) read(ctx context.Context) {
	for {
		fetches := s.conn.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) { s.complain("read", err) })
		fetches.EachRecord(s.admit)
	}
}

// admit takes in one record. One that cannot be read says nothing, and is
// counted for its place.
func (s *Shares) admit(r *kgo.Record) {
	m, err := decode(r.Value)
	s.complain("decode", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer.read(time.Now(), r.Offset, m)
}

// watchGroup polls for the errors of the group; its fetches are paused.
func (s *Shares) watchGroup(ctx context.Context) {
	for {
		fetches := s.group.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) { s.complain("group", err) })
	}
}

func (s *Shares) own(parts map[string][]int32, owner bool) {
	for _, num := range parts[s.topic] {
		if num != partition {
			continue
		}
		s.mu.Lock()
		s.peer.granter.own(owner)
		s.mu.Unlock()
		s.log.Info("quota granter", zap.Bool("here", owner))
	}
}

// leave writes that nothing is held any more, so that the others need not
// wait for its end. A silent broker can hold both halves of it, and is not
// waited for.
func (s *Shares) leave(ctx context.Context) {
	s.mu.Lock()
	m := s.peer.end(time.Now())
	s.mu.Unlock()
	written := make(chan struct{})
	s.conn.Produce(ctx, s.record(m), func(*kgo.Record, error) { close(written) })
	within(goodbye, written)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.conn.Close()
		s.group.Close()
	}()
	within(goodbye, closed)
}

// within waits for done, so long at most.
func within(d time.Duration, done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(d):
	}
}

// complain logs when trouble begins and when it ends.
func (s *Shares) complain(doing string, err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil && !s.failing.Swap(true):
		s.log.Warn("limits are not shared", zap.String("doing", doing), zap.Error(err))
	case err == nil && doing == "write" && s.failing.Swap(false):
		s.log.Info("limits are shared again")
	}
}
