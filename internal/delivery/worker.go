package delivery

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"holdfast.internal"
	"holdfast.internal/internal/copartition"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/topics"
	"holdfast.internal/internal/watch"
	"holdfast.internal/sinks"
)

// Times of a worker's life.
const (
	revokeWait      = 10 * time.Second // at most, for what is in flight
	revokeCommit    = 5 * time.Second
	shutdownDrain   = 15 * time.Second
	shutdownTimeout = 3 * time.Second // for each of the last commit and the goodbye
	measureTimeout  = 5 * time.Second
	pollRecords     = 1000
)

// Deps is what a worker needs from outside.
type Deps struct {
	Sink sinks.Sink
	// Open decodes a value in the wire format that was read from topic. Its
	// errors are verdicts: permanent for bytes that will never do, else wait.
	Open  func(ctx context.Context, topic string, wire []byte, headers []holdfast.Header) (holdfast.Value, error)
	Kafka []kgo.Opt // how to reach the brokers
	// Limit is the bucket of the whole sink, shared with other replicas or not; nil for none.
	Limit *quota.Bucket
	// Endpoints are the buckets of single endpoints, by name; an endpoint without one has no limit.
	Endpoints map[string]*quota.Bucket
	// Tenants has the limits of tenants; nil for none until the vendor refuses.
	Tenants TenantLimits
	// Receipts is a client to write receipts with; nil for none.
	Receipts *kgo.Client
	Log      *zap.Logger
	Metrics  *Metrics
}

// Worker delivers the records of one sink's assigned shards.
type Worker struct {
	cfg        Config
	name       string // among the workers of the sink
	deps       Deps
	reconciler sinks.Reconciler // nil if the sink cannot look up
	batcher    sinks.Batcher    // nil if it takes one record at a time
	log        *zap.Logger
	letters    *zap.Logger // of dead letters; says less of many
	client     *kgo.Client
	admin      *kadm.Client
	// aside is for moves that the client does not take, or not together, and for
	// reading again: over the client's connection that would wait behind the
	// request that the broker sits on, up to fetchMaxWait. It asks for the group's
	// offsets too: who looks for a coordinator sends heartbeats, which the fence
	// of the client would take for the worker's.
	aside    *kgo.Client
	oversize chan struct{} // held for one of those
	made     chan struct{} // closed once the two are there: the client calls back before

	sched  *scheduler
	meters *meters
	parts  atomic.Pointer[[]watch.Part] // as of the last count

	moves sync.WaitGroup // writes under way, and the waits between their tries
	// life ends when nothing may be sent any more, at the end of the drain.
	life    context.Context //nolint:containedctx // the client calls back before Run and outside of it
	endLife context.CancelFunc
	// commits orders a commit before or after a revoke, never across it.
	// It is no mutex, because it is held while a broker is waited for.
	commits    chan struct{}
	member     atomic.Pointer[string] // the member id at the last assignment
	refused    time.Time              // when it was said last that commits are refused; guarded by commits
	partitions atomic.Int64           // of each topic of the sink
	measure    chan struct{}          // partitions were assigned whose ends are not known
	growing    growing
	rival      rival
	stepping   steppers
	ready      chan struct{}
	once       sync.Once
}

// letterLines dead letters a minute have a line in the log each, and of more than
// that one in 1,000: the topic holds them all.
const (
	letterLines = 20
	oneInMany   = 1000
)

// New makes a worker and its client; [Worker.Run] starts it.
func New(cfg Config, deps Deps) (*Worker, error) {
	cfg = cfg.withDefaults()
	w := &Worker{
		cfg:      cfg,
		name:     cmp.Or(cfg.Instance, strconv.FormatUint(rand.Uint64(), 36)), //nolint:gosec // a name, no secret
		deps:     deps,
		log:      deps.Log.With(zap.String("sink", cfg.Sink)),
		sched:    newScheduler(cfg, deps.Limit, deps.Endpoints, deps.Tenants),
		meters:   deps.Metrics.of(cfg),
		commits:  make(chan struct{}, 1),
		measure:  make(chan struct{}, 1),
		growing:  growing{look: make(chan struct{}, 1)},
		ready:    make(chan struct{}),
		made:     make(chan struct{}),
		oversize: make(chan struct{}, 1),
	}
	w.letters = w.log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Minute, letterLines, oneInMany)
	}))
	w.life, w.endLife = context.WithCancel(context.Background())
	context.AfterFunc(w.life, w.sched.calls.look) // a batch belongs to no shard
	w.reconciler, _ = deps.Sink.(sinks.Reconciler)
	if b, ok := deps.Sink.(sinks.Batcher); ok && b.Batch().Events > 1 {
		w.batcher = b
	}
	var err error
	w.aside, err = kgo.NewClient(append(append([]kgo.Opt{}, deps.Kafka...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(largest), kgo.ProducerLinger(0))...)
	if err != nil {
		w.endLife()
		return nil, fmt.Errorf("sink %s: kafka client: %w", cfg.Sink, err)
	}
	client, err := kgo.NewClient(w.options()...)
	if err != nil {
		w.aside.Close()
		w.endLife()
		return nil, fmt.Errorf("sink %s: kafka client: %w", cfg.Sink, err)
	}
	w.client, w.admin = client, kadm.NewClient(client)
	close(w.made)
	return w, nil
}

// options are those of the client that is the group's member.
func (w *Worker) options() []kgo.Opt {
	opts := append([]kgo.Opt{}, w.deps.Kafka...)
	opts = append(opts, membership(w.cfg)...)
	return append(opts,
		kgo.ConsumeTopics(w.sched.layout.names...),
		kgo.BlockRebalanceOnPoll(),
		kgo.KeepControlRecords(), // so that what was read is known to the last offset
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
		kgo.OnPartitionsAssigned(w.assigned),
		kgo.OnPartitionsRevoked(w.revoked),
		kgo.OnPartitionsLost(w.lost),
		kgo.OnOffsetsFetched(w.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(w.startOffsets),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(w.cfg.MaxMessageBytes),
		kgo.ProducerLinger(0),
		kafka.Measured(w.deps.Metrics.reg, topics.Group(w.cfg.Sink)),
		kgo.WithHooks(&w.sched.fence),
	)
}

// membership are the options of the group. The broker's range assignor keeps the
// numbers of topics of equal size together, too.
func membership(cfg Config) []kgo.Opt {
	if cfg.BrokerBalances {
		return append(kafka.Member(topics.Group(cfg.Sink), cfg.Instance, kgo.RangeBalancer()), kgo.ServerSideBalancer())
	}
	return kafka.Member(topics.Group(cfg.Sink), cfg.Instance, copartition.Balancer())
}

// Ready is closed once the worker has its first shards and knows what lies in
// their tiers.
func (w *Worker) Ready() <-chan struct{} { return w.ready }

// Trouble says in words why the worker is not ready although it has started;
// "" where nothing is wrong.
func (w *Worker) Trouble() string {
	return cmp.Or(w.rival.trouble(), w.growing.why())
}

// Run delivers until ctx ends. Then nothing new is sent; what is in flight is
// waited for, settled offsets are committed, and Run returns within 25 s also
// with a silent broker and a hung vendor. The error is [ErrFenced].
func (w *Worker) Run(ctx context.Context) error {
	defer w.endLife()
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()

	var slots, helpers sync.WaitGroup
	for range w.cfg.Concurrency {
		slots.Go(w.work)
	}
	helpers.Go(func() { w.timers(background) })
	helpers.Go(func() { w.refetchLoop(background) })
	helpers.Go(func() { w.measureLoop(background) })
	helpers.Go(func() { w.resumeLoop(background) })
	helpers.Go(func() { w.gaugeLoop(background) })
	helpers.Go(func() { w.growthLoop(background) })
	if w.cfg.Park {
		helpers.Go(func() { w.followDispositions(background) })
		helpers.Go(func() { w.strayLoop(background) })
	}
	stopOnEnd := context.AfterFunc(ctx, w.sched.close)
	defer stopOnEnd()

	var ended error
	if w.learnGrowth(ctx) { // and under which ids to commit
		helpers.Go(func() { w.commitLoop(background) })
		ended = w.poll(ctx)
	}

	w.sched.close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownDrain)
	w.sched.waitIdle(drain)
	cancel()
	w.endLife()
	stopBackground()
	helpers.Wait()
	w.commits <- struct{}{}
	w.commitLast(context.WithoutCancel(ctx), shutdownTimeout, w.sched.toCommit)
	<-w.commits
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		w.client.CloseAllowingRebalance()
		w.aside.Close()
		slots.Wait()
		w.moves.Wait()
	}()
	// A silent broker can hold Close; nothing is lost by leaving it behind.
	select {
	case <-closed:
	case <-time.After(shutdownTimeout):
	}
	return ended
}

// Limit is the bucket of the whole sink: the one it was given, or its own.
func (w *Worker) Limit() *quota.Bucket { return w.sched.limit }

// Share is the part of the sink's source that this worker owns, 0 to 1. It
// takes no lock: buckets ask while the scheduler asks them.
func (w *Worker) Share() float64 {
	total := w.partitions.Load()
	if total == 0 {
		return 0
	}
	return float64(w.sched.owned.Load()) / float64(total)
}
