// Package processing runs processors: it reads a processor's input and its
// redrive topic, opens each value, calls the processor, and writes what it
// made, the dead letters and the input's offsets in one Kafka transaction.
//
// Everything that can wait (an unknown schema, the registry, a transient
// error) waits before the transaction begins; while one partition waits, the
// others of the same worker wait with it, at most 30 s once per unknown schema.
package processing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/processors"
)

// Config is one processor.
type Config struct {
	Name     string
	In, Out  string // topics
	Instance string // static member name and part of the transactional id; "" for dynamic
}

// Serde opens inputs and encodes outputs.
type Serde interface {
	Open(ctx context.Context, topic string, wire []byte, headers []holdfast.Header) (holdfast.Value, error)
	Encode(ctx context.Context, topic string, v any) ([]byte, error)
}

// Deps is what a runtime needs from outside.
type Deps struct {
	Processor processors.Processor
	Serde     Serde
	Kafka     []kgo.Opt
	Log       *zap.Logger
	Metrics   *Metrics
}

const (
	pollRecords        = 2000
	transactionTimeout = 10 * time.Second
	endTimeout         = 10 * time.Second
	processDeadline    = 5 * time.Second
	waitAgain          = time.Second
)

// Runtime is one processor at work.
type Runtime struct {
	cfg     Config
	deps    Deps
	log     *zap.Logger
	session *kgo.GroupTransactSession
	metrics counters
	ready   chan struct{}
	once    sync.Once
}

// New makes the runtime and its client; [Runtime.Run] starts it. The instance
// "dynamic" of a transactional id is replaced by a random one when cfg has none.
func New(cfg Config, deps Deps, random string) (*Runtime, error) {
	r := &Runtime{
		cfg: cfg, deps: deps, log: deps.Log.With(zap.String("processor", cfg.Name)),
		metrics: deps.Metrics.of(cfg.Name), ready: make(chan struct{}),
	}
	id := cfg.Instance
	if id == "" {
		id = random
	}
	opts := append([]kgo.Opt{}, deps.Kafka...)
	opts = append(opts, kafka.Member(topics.Group(cfg.Name), cfg.Instance)...)
	opts = append(opts,
		kgo.ConsumeTopics(cfg.In, topics.Redrive(cfg.Name)),
		kgo.TransactionalID("holdfast."+cfg.Name+"."+id),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordPartitioner(partitioner{}),
		kgo.ProducerLinger(0),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			r.once.Do(func() { close(r.ready) })
		}),
	)
	session, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		return nil, fmt.Errorf("processor %s: kafka client: %w", cfg.Name, err)
	}
	r.session = session
	return r, nil
}

// Ready is closed once the runtime has its first partitions.
func (r *Runtime) Ready() <-chan struct{} { return r.ready }

// Run processes until ctx ends. It returns an error only when the client is
// fenced for good or the broker refuses the transactional id.
func (r *Runtime) Run(ctx context.Context) error {
	defer r.session.Close()
	for {
		fetches := r.session.PollRecords(ctx, pollRecords)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			r.log.Warn("fetch", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
		})
		if fetches.NumRecords() == 0 {
			continue
		}
		outputs, ok := r.prepare(ctx, fetches)
		if !ok {
			return nil
		}
		if err := r.transact(ctx, outputs); err != nil {
			return fmt.Errorf("processor %s: %w", r.cfg.Name, err)
		}
	}
}

// transact writes the outputs and the offsets of what was polled. A
// transaction that fails is aborted, and the session reads its input again.
func (r *Runtime) transact(ctx context.Context, outputs []*kgo.Record) error {
	if err := r.session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	// What was begun is ended even when ctx ends meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	first := kgo.AbortingFirstErrPromise(r.session.Client())
	for _, out := range outputs {
		r.session.Produce(ctx, out, first.Promise())
	}
	failed := first.Err()
	if failed != nil {
		r.log.Warn("transaction aborted", zap.Error(failed))
	}
	committed, err := r.session.End(ctx, kgo.TransactionEndTry(failed == nil))
	switch {
	case err == nil && !committed && failed == nil:
		r.log.Info("transaction aborted by a rebalance; its input is read again")
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return fmt.Errorf("end transaction: %w", err)
	case err != nil:
		r.log.Warn("end transaction", zap.Error(err))
	}
	return nil
}

// prepare turns everything that was polled into the records to write:
// partitions beside each other, the records of one in order. False: ctx ended.
func (r *Runtime) prepare(ctx context.Context, fetches kgo.Fetches) ([]*kgo.Record, bool) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []*kgo.Record
		ended bool
	)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		r.deps.Metrics.consumed.WithLabelValues(p.Topic).Add(float64(len(p.Records)))
		wg.Go(func() {
			outputs := make([]*kgo.Record, 0, len(p.Records))
			for _, in := range p.Records {
				made, err := r.handle(ctx, in)
				if err != nil {
					mu.Lock()
					ended = true
					mu.Unlock()
					return
				}
				outputs = append(outputs, made...)
			}
			mu.Lock()
			all = append(all, outputs...)
			mu.Unlock()
		})
	})
	wg.Wait()
	return all, !ended
}

// handle processes one record to its outputs, or its dead letter. It waits for
// what is transient; its error is ctx's.
func (r *Runtime) handle(ctx context.Context, in *kgo.Record) ([]*kgo.Record, error) {
	trust := record.FromProducer
	if in.Topic == topics.Redrive(r.cfg.Name) {
		trust = record.FromHoldfast
	}
	env := record.Read(in, trust)
	for {
		began := time.Now()
		made, err := r.process(ctx, env)
		r.metrics.seconds.Observe(time.Since(began).Seconds())
		if err == nil {
			if len(made) == 0 {
				r.metrics.filtered.Inc()
			} else {
				r.metrics.ok.Inc()
			}
			return made, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		verdict, failure := holdfast.Judge(err)
		if waits(verdict, failure) {
			r.log.Warn("waiting", zap.String("origin", env.Event.Origin.String()), zap.Error(err))
			if !sleep(ctx, waitAgain) {
				return nil, ctx.Err()
			}
			continue
		}
		r.metrics.failed.Inc()
		return []*kgo.Record{r.deadLetter(env, failure)}, nil
	}
}

// waits reports whether a failure is not the record's: a processor's
// explicit transient error, a schema not known yet, the registry.
func waits(v holdfast.Verdict, f holdfast.Failure) bool {
	return v == holdfast.VerdictUnavailable || (v == holdfast.VerdictTransient && f.Class != holdfast.ClassUnknown && f.Class != holdfast.ClassTimeout)
}

func (r *Runtime) deadLetter(env *record.Envelope, f holdfast.Failure) *kgo.Record {
	if f.Class == "" || f.Class == holdfast.ClassUnknown {
		f.Class = holdfast.ClassTransform
	}
	env.Sink = r.cfg.Name
	env.Fail(f, time.Now())
	_, epoch := r.session.Client().GroupMetadata()
	return env.ToDeadLetters(topics.DeadLetters(r.cfg.Name), env.At.Partition, epoch, topics.Group(r.cfg.Name))
}

// outputRecord renders the n-th output (from 1) of an event.
func (r *Runtime) outputRecord(env *record.Envelope, n int, key string, value []byte) *kgo.Record {
	id := env.Event.ID
	if n > 1 {
		id += "/" + strconv.Itoa(n)
	}
	out := &kgo.Record{Topic: r.cfg.Out, Key: []byte(key), Value: value, Timestamp: env.Event.Time}
	for _, h := range env.Event.Headers {
		if strings.HasPrefix(h.Name, "__") { // framing and other tools' own: they speak of the input
			continue
		}
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	out.Headers = append(out.Headers,
		kgo.RecordHeader{Key: record.HeaderEventID, Value: []byte(id)},
		kgo.RecordHeader{Key: record.HeaderParent, Value: []byte(env.Event.Origin.String())})
	return out
}

// partitioner keeps the partition number of dead letters and places outputs by
// key, as every other Kafka client does.
type partitioner struct{}

// ForTopic is for kgo.
func (partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if strings.HasPrefix(topic, "dlq.") {
		return kgo.ManualPartitioner().ForTopic(topic)
	}
	return kgo.StickyKeyPartitioner(nil).ForTopic(topic)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Metrics are shared by the processors of a process.
type Metrics struct {
	processed *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	consumed  *prometheus.CounterVec
}

// NewMetrics registers the processors' metrics. consumed is shared with delivery.
func NewMetrics(reg prometheus.Registerer, consumed *prometheus.CounterVec) *Metrics {
	m := &Metrics{
		processed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_records_processed_total", Help: "Records a processor finished, by outcome.",
		}, []string{"processor", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_process_duration_seconds", Help: "Duration of one call of a processor.",
			Buckets: []float64{1e-5, 1e-4, 1e-3, .01, .1, 1, 5}, NativeHistogramBucketFactor: 1.1,
		}, []string{"processor"}),
		consumed: consumed,
	}
	reg.MustRegister(m.processed, m.seconds)
	return m
}

type counters struct {
	ok, filtered, failed prometheus.Counter
	seconds              prometheus.Observer
}

func (m *Metrics) of(processor string) counters {
	return counters{
		ok:       m.processed.WithLabelValues(processor, "ok"),
		filtered: m.processed.WithLabelValues(processor, "filtered"),
		failed:   m.processed.WithLabelValues(processor, "failed"),
		seconds:  m.seconds.WithLabelValues(processor),
	}
}
