package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/copartition"
	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/record"
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
	client     *kgo.Client
	admin      *kadm.Client
	// aside is for moves that the client does not take, or not together, and for
	// reading again: over the client's connection that would wait behind the
	// request that the broker sits on, up to fetchMaxWait.
	aside    *kgo.Client
	oversize chan struct{} // held for one of those
	made     chan struct{} // closed once the two are there: the client calls back before

	sched  *scheduler
	meters *meters
	parts  atomic.Pointer[[]watch.Part] // as of the last count

	moves sync.WaitGroup // waits between tries of a move
	// life ends when nothing may be sent any more, at the end of the drain.
	life    context.Context //nolint:containedctx // the client calls back before Run and outside of it
	endLife context.CancelFunc
	// commits orders a commit before or after a revoke, never across it.
	// It is no mutex, because it is held while a broker is waited for.
	commits    chan struct{}
	partitions atomic.Int64  // of each topic of the sink
	measure    chan struct{} // partitions were assigned whose ends are not known
	growing    growing
	idsMu      sync.Mutex
	ids        map[string][16]byte               // of topics
	stepping   map[holdfast.Coordinates]struct{} // partitions that step over a batch
	ready      chan struct{}
	once       sync.Once
}

// New makes a worker and its client; [Worker.Run] starts it.
func New(cfg Config, deps Deps) (*Worker, error) {
	cfg = cfg.withDefaults()
	w := &Worker{
		cfg:      cfg,
		name:     cmp.Or(cfg.Instance, strconv.FormatUint(rand.Uint64(), 36)), //nolint:gosec // a name, no secret
		deps:     deps,
		log:      deps.Log.With(zap.String("sink", cfg.Sink)),
		sched:    newScheduler(cfg, deps.Limit, deps.Endpoints),
		meters:   deps.Metrics.of(cfg),
		commits:  make(chan struct{}, 1),
		measure:  make(chan struct{}, 1),
		growing:  growing{look: make(chan struct{}, 1)},
		ids:      make(map[string][16]byte),
		stepping: make(map[holdfast.Coordinates]struct{}),
		ready:    make(chan struct{}),
		made:     make(chan struct{}),
		oversize: make(chan struct{}, 1),
	}
	w.life, w.endLife = context.WithCancel(context.Background())
	w.reconciler, _ = deps.Sink.(sinks.Reconciler)
	if b, ok := deps.Sink.(sinks.Batcher); ok && b.Batch().Events > 1 {
		w.batcher = b
	}
	opts := append([]kgo.Opt{}, deps.Kafka...)
	opts = append(opts, membership(cfg)...)
	opts = append(opts,
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
		kgo.ProducerBatchMaxBytes(cfg.MaxMessageBytes),
		kgo.ProducerLinger(0),
		kafka.Measured(deps.Metrics.reg, topics.Group(cfg.Sink)),
	)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		w.endLife()
		return nil, fmt.Errorf("sink %s: kafka client: %w", cfg.Sink, err)
	}
	w.aside, err = kgo.NewClient(append(append([]kgo.Opt{}, deps.Kafka...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(largest), kgo.ProducerLinger(0))...)
	if err != nil {
		client.Close()
		w.endLife()
		return nil, fmt.Errorf("sink %s: kafka client: %w", cfg.Sink, err)
	}
	w.client, w.admin = client, kadm.NewClient(client)
	close(w.made)
	return w, nil
}

// membership are the options of the group. The broker's range assignor keeps the
// numbers of topics of equal size together, too.
func membership(cfg Config) []kgo.Opt {
	if cfg.BrokerBalances {
		return append(kafka.Member(topics.Group(cfg.Sink), cfg.Instance, kgo.RangeBalancer()), kgo.ServerSideBalancer())
	}
	return kafka.Member(topics.Group(cfg.Sink), cfg.Instance, copartition.Balancer())
}

// fetchMaxWait is how long a broker may sit on a request for records. While it
// does, partitions that are resumed or assigned meanwhile wait too.
const fetchMaxWait = 100 * time.Millisecond

// Bounds on what a broker answers at once, as it is compressed: several times
// as much lies in memory.
const (
	fetchBytes          = 1 << 20
	fetchPartitionBytes = 256 << 10
)

// Ready is closed once the worker has its first shards and knows what lies in
// their tiers.
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
	helpers.Go(func() { w.timers(background) })
	helpers.Go(func() { w.commitLoop(background) })
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

	if w.learnGrowth(ctx) {
		w.poll(ctx)
	}

	w.sched.close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownDrain)
	w.sched.waitIdle(drain)
	cancel()
	w.endLife()
	stopBackground()
	helpers.Wait()
	w.commits <- struct{}{}
	w.commitLast(context.WithoutCancel(ctx), shutdownTimeout, w.sched.toCommit())
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
	return nil
}

// poll reads until ctx ends.
func (w *Worker) poll(ctx context.Context) {
	complaints := newComplaints(w.log)
	for {
		w.awaitRoom(ctx)
		fetches := w.pollOnce(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			w.client.AllowRebalance()
			return
		}
		fetches.EachError(func(topic string, num int32, err error) {
			if errors.Is(err, context.DeadlineExceeded) || w.poison(ctx, topic, num, err) {
				return
			}
			w.atGap(topic, num, err)
			complaints.fetch(topic, num, err)
		})
		fetches.EachPartition(w.admitUnless(w.pass()))
		w.client.AllowRebalance()
	}
}

// pollOnce waits for records; at a barrier not for long, since nothing may come
// until it falls.
func (w *Worker) pollOnce(ctx context.Context) kgo.Fetches {
	if w.sched.barred() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, barredPoll)
		defer cancel()
	}
	return w.client.PollRecords(ctx, pollRecords)
}

// admitUnless is admit, but for partitions of the source that are read again
// from an earlier offset.
func (w *Worker) admitUnless(again map[int32]int64) func(kgo.FetchTopicPartition) {
	return func(p kgo.FetchTopicPartition) {
		if _, stale := again[p.Partition]; !stale || p.Topic != w.cfg.Source {
			w.admit(p)
		}
	}
}

// admit hands the records of one partition to the scheduler.
func (w *Worker) admit(fetched kgo.FetchTopicPartition) {
	if len(fetched.Records) == 0 {
		return
	}
	read := w.arrivalOf
	if !w.sched.mayHold(fetched.Topic) {
		read = w.outlineOf
	}
	arrivals := make([]arrival, len(fetched.Records))
	records := 0 // without the markers of transactions
	for i, r := range fetched.Records {
		if arrivals[i] = read(r); arrivals[i].env != nil {
			records++
		}
	}
	w.meters.counters.Consumed.WithLabelValues(fetched.Topic).Add(float64(records))
	if w.sched.admit(fetched.Topic, fetched.Partition, arrivals) {
		w.client.PauseFetchPartitions(map[string][]int32{fetched.Topic: {fetched.Partition}})
	}
}

// arrivalOf reads the envelope of a record.
func (w *Worker) arrivalOf(r *kgo.Record) arrival {
	if r.Attrs.IsControl() {
		return arrival{offset: r.Offset}
	}
	trust := record.FromHoldfast
	if r.Topic == w.cfg.Source {
		trust = record.FromProducer
	}
	env := record.Read(r, trust)
	return arrival{offset: r.Offset, env: env, due: w.due(r.Topic, env), tenant: w.tenantOf(env)}
}

// outlineOf reads what the index has to know of a record that lies in a tier
// and will be read again.
func (w *Worker) outlineOf(r *kgo.Record) arrival {
	if r.Attrs.IsControl() {
		return arrival{offset: r.Offset}
	}
	env := record.Outline(r)
	return arrival{offset: r.Offset, env: env, outline: true, due: w.due(r.Topic, env)}
}

// due is when a record of a tier may be sent. A clock that jumped shifts it by
// at most one tier.
func (w *Worker) due(topic string, env *record.Envelope) time.Time {
	tier := w.sched.layout.tier(w.sched.layout.slots[topic])
	if tier < 0 || env.Due.IsZero() {
		return time.Time{}
	}
	now := time.Now()
	wait := min(env.Due.Sub(now), max(w.cfg.Tiers[tier], w.cfg.MaxHold))
	return now.Add(max(wait, 0))
}

func (w *Worker) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	_, epoch := client.GroupMetadata()
	for topic, nums := range added {
		for _, num := range nums {
			w.sched.assign(w.life, topic, num, epoch) //nolint:contextcheck // a shard lives as long as the worker
		}
		// A partition that comes back may still be paused from its last stay.
		client.ResumeFetchPartitions(map[string][]int32{topic: nums})
	}
	w.growing.meet(added[w.cfg.Source], w.sched)
	poke(w.measure)
	if len(added) == 0 {
		w.once.Do(func() { close(w.ready) })
	}
}

// offsetsFetched tells the scheduler what was committed, before the first
// record is read.
func (w *Worker) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	each := func(topic string, num int32, offset int64, metadata *string) {
		text := ""
		if metadata != nil {
			text = *metadata
		}
		if err := w.sched.committed(topic, num, offset, text); err != nil {
			w.log.Warn("commit metadata is not readable; what was finished beyond the offset may be sent again",
				zap.String("topic", topic), zap.Int32("partition", num), zap.Error(err))
		}
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				each(t.Topic, p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	if len(resp.Groups) == 0 {
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				each(t.Topic, p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	return nil
}

// measureLoop asks where the tiers end that were assigned: what lies before has
// to be known before anything is sent.
func (w *Worker) measureLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.measure:
		}
		for ctx.Err() == nil {
			if w.measureEnds(ctx) {
				break
			}
			_ = sleep(ctx, 200*time.Millisecond)
		}
	}
}

// measureEnds reports whether all ends are known.
func (w *Worker) measureEnds(ctx context.Context) bool {
	if w.sched.partial() {
		// A broker gives a static member that comes back with more topics its
		// old share, without them: ask for a new one.
		w.log.Warn("assigned some topics of a partition number and not all; asking for a new assignment")
		w.client.ForceRebalance()
		_ = sleep(ctx, time.Second)
	}
	missing := w.sched.unmeasured()
	if len(missing) > 0 {
		ctx, cancel := context.WithTimeout(ctx, measureTimeout)
		defer cancel()
		names := make([]string, 0, len(missing))
		for topic := range missing {
			names = append(names, topic)
		}
		starts, err := w.admin.ListStartOffsets(ctx, names...)
		if err == nil {
			var ends kadm.ListedOffsets
			if ends, err = w.admin.ListCommittedOffsets(ctx, names...); err == nil {
				w.tellEnds(missing, starts, ends)
			}
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("the ends of the tiers are not known yet; nothing is sent before they are", zap.Error(err))
		}
		if len(w.sched.unmeasured()) > 0 {
			return false
		}
	}
	w.awaitPlace(ctx) // not within once: an assignment would wait for it, and it for a commit that waits for the assignment
	w.once.Do(func() { close(w.ready) })
	return true
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

func (w *Worker) tellEnds(missing map[string][]int32, starts, ends kadm.ListedOffsets) {
	for topic, nums := range missing {
		w.partitions.Store(int64(len(ends[topic])))
		for _, num := range nums {
			start, known := starts.Lookup(topic, num)
			end, ok := ends.Lookup(topic, num)
			switch {
			case !ok || !known || end.Err != nil || start.Err != nil:
			case start.Offset >= end.Offset:
				w.sched.ended(topic, num, 0)
			default:
				w.sched.ended(topic, num, end.Offset)
			}
		}
	}
}

// revoked waits for what is in flight, commits what was settled and lets go.
func (w *Worker) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	wait, cancel := context.WithTimeout(ctx, min(w.cfg.Timeout, revokeWait))
	defer cancel()
	last := w.sched.revoke(wait, gone)
	w.commits <- struct{}{}
	defer func() { <-w.commits }()
	w.commitLast(ctx, revokeCommit, last)
}

// lost is a revoke after the fact: somebody else may own the partitions
// already, so nothing of them is committed.
func (w *Worker) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	w.log.Warn("partitions lost", zap.Any("partitions", gone))
	now, cancel := context.WithCancel(context.Background())
	cancel()
	w.sched.revoke(now, gone) //nolint:contextcheck // over from the start: nothing is waited for
}

// timers lets everything go whose time has come, until ctx ends.
func (w *Worker) timers(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(w.sched.expire(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-w.sched.ring:
		case <-timer.C:
		}
	}
}

func (w *Worker) breakerChanged(tenant string, st breaker.State, f holdfast.Failure) {
	fields := []zap.Field{zap.String("state", st.String()), zap.Bool("tenant", tenant != "")}
	if st == breaker.Closed {
		w.log.Info("breaker", fields...)
		return
	}
	w.log.Warn("breaker", append(fields, zap.String("class", string(f.Class)), zap.Int("status", f.Status))...)
}
