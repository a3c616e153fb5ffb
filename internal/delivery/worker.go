package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// Times of a worker's life.
const (
	commitEvery     = 100 * time.Millisecond
	commitTimeout   = 2 * time.Second
	revokeWait      = 10 * time.Second // at most, for what is in flight
	shutdownDrain   = 15 * time.Second
	shutdownTimeout = 3 * time.Second // for each of the last commit and the goodbye
	pollRecords     = 500
)

// Deps is what a worker needs from outside.
type Deps struct {
	Sink sinks.Sink
	// Open decodes a value in the wire format that was read from topic. Its
	// errors are verdicts: permanent for bytes that will never do, else wait.
	Open    func(ctx context.Context, topic string, wire []byte, headers []holdfast.Header) (holdfast.Value, error)
	Kafka   []kgo.Opt // how to reach the brokers
	Log     *zap.Logger
	Metrics *Metrics
}

// Worker delivers the records of one sink's assigned partitions.
type Worker struct {
	cfg        Config
	deps       Deps
	reconciler sinks.Reconciler // nil if the sink cannot look up
	log        *zap.Logger
	client     *kgo.Client
	tierOf     map[string]int

	sched    *scheduler
	limiter  *rate.Limiter
	hold     *hold
	evidence *evidence
	meters   *meters

	moves sync.WaitGroup // waits between tries of a move
	// life ends when nothing may be sent any more, at the end of the drain.
	life    context.Context //nolint:containedctx // the client calls back before Run and outside of it
	endLife context.CancelFunc
	// commits orders a commit before or after a revoke, never across it.
	commits sync.Mutex
	ready   chan struct{}
	once    sync.Once
}

// New makes a worker and its client; [Worker.Run] starts it.
func New(cfg Config, deps Deps) (*Worker, error) {
	cfg = cfg.withDefaults()
	w := &Worker{
		cfg:      cfg,
		deps:     deps,
		log:      deps.Log.With(zap.String("sink", cfg.Sink)),
		tierOf:   cfg.tierOf(),
		sched:    newScheduler(cfg.Ordered),
		limiter:  rate.NewLimiter(cfg.Rate, cfg.Burst),
		hold:     &hold{},
		evidence: &evidence{},
		meters:   deps.Metrics.of(cfg),
		ready:    make(chan struct{}),
	}
	w.life, w.endLife = context.WithCancel(context.Background())
	w.reconciler, _ = deps.Sink.(sinks.Reconciler)
	opts := append([]kgo.Opt{}, deps.Kafka...)
	opts = append(opts, kafka.Member(topics.Group(cfg.Sink), cfg.Instance)...)
	opts = append(opts,
		kgo.ConsumeTopics(cfg.topics()...),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(w.assigned),
		kgo.OnPartitionsRevoked(w.revoked),
		kgo.OnPartitionsLost(w.lost),
		kgo.AdjustFetchOffsetsFn(w.startOffsets),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(cfg.MaxMessageBytes),
		kgo.ProducerLinger(0),
	)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		w.endLife()
		return nil, fmt.Errorf("sink %s: kafka client: %w", cfg.Sink, err)
	}
	w.client = client
	return w, nil
}

// Ready is closed once the worker has its first partitions.
func (w *Worker) Ready() <-chan struct{} { return w.ready }

// Run delivers until ctx ends. Then nothing new is sent; what is in flight is
// waited for, settled offsets are committed, and Run returns within 25 s also
// with a silent broker and a hung vendor.
func (w *Worker) Run(ctx context.Context) error {
	defer w.endLife()
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()

	var slots, helpers sync.WaitGroup
	for range w.cfg.Concurrency {
		slots.Go(w.work)
	}
	helpers.Go(func() { w.sched.runTimers(background, w.resume) })
	helpers.Go(func() { w.commitLoop(background) })
	stopOnEnd := context.AfterFunc(ctx, w.sched.close)
	defer stopOnEnd()

	w.poll(ctx)

	w.sched.close()
	w.sched.stopWaits()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownDrain)
	w.sched.waitIdle(drain)
	cancel()
	w.endLife()
	stopBackground()
	helpers.Wait()
	w.commit(context.WithoutCancel(ctx), shutdownTimeout)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		w.client.CloseAllowingRebalance()
		slots.Wait()
		w.moves.Wait()
	}()
	// A silent broker can hold Close; nothing is lost by leaving it behind.
	select {
	case <-closed:
	case <-time.After(shutdownTimeout):
	}
	return nil
}

// poll reads until ctx ends.
func (w *Worker) poll(ctx context.Context) {
	complaints := newComplaints(w.log)
	for {
		w.sched.waitRoom()
		fetches := w.client.PollRecords(ctx, pollRecords)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			w.client.AllowRebalance()
			return
		}
		fetches.EachError(complaints.fetch)
		fetches.EachPartition(w.admit)
		w.client.AllowRebalance()
	}
}

// admit hands the records of one partition to the scheduler.
func (w *Worker) admit(fetched kgo.FetchTopicPartition) {
	if len(fetched.Records) == 0 {
		return
	}
	p := w.sched.partition(fetched.Topic, fetched.Partition)
	if p == nil {
		return
	}
	w.meters.consumed.WithLabelValues(fetched.Topic).Add(float64(len(fetched.Records)))
	trust := record.FromHoldfast
	if fetched.Topic == w.cfg.Source {
		trust = record.FromProducer
	}
	pause := false
	for _, r := range fetched.Records {
		env := record.Read(r, trust)
		pause = w.sched.add(p, env, w.due(p, env)) || pause
	}
	if pause {
		w.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.num}})
	}
}

// due is when a record of a tier may be sent. A clock that jumped shifts it by
// at most one tier.
func (w *Worker) due(p *partition, env *record.Envelope) time.Time {
	if p.tier < 0 || env.Due.IsZero() {
		return time.Time{}
	}
	now := time.Now()
	wait := min(env.Due.Sub(now), w.cfg.Tiers[p.tier])
	return now.Add(max(wait, 0))
}

func (w *Worker) resume(topic string, num int32) {
	w.client.ResumeFetchPartitions(map[string][]int32{topic: {num}})
}

func (w *Worker) assigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	for topic, nums := range added {
		tier, ok := w.tierOf[topic]
		if !ok {
			tier = -1
		}
		for _, num := range nums {
			w.sched.assign(newPartition(w.life, topic, num, tier))
		}
		// A partition that comes back may still be paused from its last stay.
		w.client.ResumeFetchPartitions(map[string][]int32{topic: nums})
	}
	w.once.Do(func() { close(w.ready) })
}

// revoked waits for what is in flight, commits what was settled and lets go.
func (w *Worker) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	wait, cancel := context.WithTimeout(ctx, min(w.cfg.Timeout, revokeWait))
	defer cancel()
	last := w.sched.revoke(wait, gone)
	w.commits.Lock()
	defer w.commits.Unlock()
	w.commitOffsets(ctx, commitTimeout, last)
}

// lost is a revoke after the fact: somebody else may own the partitions
// already, so nothing of them is committed.
func (w *Worker) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	w.log.Warn("partitions lost", zap.Any("partitions", gone))
	now, cancel := context.WithCancel(context.Background())
	cancel()
	w.sched.revoke(now, gone)
}

// startOffsets lets a new sink that is configured so begin at the end of its
// source. Tiers and redrive are always read from their start.
func (w *Worker) startOffsets(_ context.Context, at map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if !w.cfg.FromLatest {
		return at, nil
	}
	for num, o := range at[w.cfg.Source] {
		if o.EpochOffset().Offset < 0 {
			at[w.cfg.Source][num] = kgo.NewOffset().AtEnd()
		}
	}
	return at, nil
}

func (w *Worker) commitLoop(ctx context.Context) {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.commit(ctx, commitTimeout)
		}
	}
}

func (w *Worker) commit(ctx context.Context, timeout time.Duration) {
	w.commits.Lock()
	defer w.commits.Unlock()
	w.commitOffsets(ctx, timeout, w.sched.toCommit())
}

// commitOffsets commits. An error is logged and counted, never fatal: the next
// commit of the partition covers it.
func (w *Worker) commitOffsets(ctx context.Context, timeout time.Duration, o offsets) {
	if len(o) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	heads := make(map[string]map[int32]kgo.EpochOffset, len(o))
	for topic, parts := range o {
		heads[topic] = make(map[int32]kgo.EpochOffset, len(parts))
		for num, at := range parts {
			heads[topic][num] = kgo.EpochOffset{Epoch: -1, Offset: at}
		}
	}
	var failed error
	w.client.CommitOffsetsSync(ctx, heads, commitCallback(&failed))
	if failed != nil {
		w.sched.uncommitted(o)
		if ctx.Err() == nil || !errors.Is(failed, context.Canceled) {
			w.log.Warn("commit refused; the next one covers it", zap.Error(failed))
		}
	}
}

// complaints logs what a broker says about a partition once a minute, not once a poll.
type complaints struct {
	log  *zap.Logger
	last map[string]time.Time
}

func newComplaints(log *zap.Logger) *complaints {
	return &complaints{log: log, last: make(map[string]time.Time)}
}

func (c *complaints) fetch(topic string, partition int32, err error) {
	at := fmt.Sprintf("%s-%d %v", topic, partition, err)
	if time.Since(c.last[at]) < time.Minute {
		return
	}
	if len(c.last) > 1000 {
		clear(c.last)
	}
	c.last[at] = time.Now()
	if errors.Is(err, kerr.OffsetOutOfRange) {
		c.log.Error("records are gone before they were delivered; the partition stops here until somebody decides",
			zap.String("topic", topic), zap.Int32("partition", partition), zap.String("reason", "offset_out_of_range"))
		return
	}
	c.log.Warn("fetch", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
}
