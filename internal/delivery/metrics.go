package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

// Metrics are shared by the workers of all sinks of a process.
type Metrics struct {
	reg        prometheus.Registerer
	counters   *kafka.Counters
	deliveries *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	endToEnd   *prometheus.HistogramVec
	scheduled  *prometheus.CounterVec
	lateness   *prometheus.HistogramVec
	dead       *prometheus.CounterVec
	waiting    *prometheus.GaugeVec
	due        *prometheus.GaugeVec
	parkedKeys *prometheus.GaugeVec
	parked     *prometheus.GaugeVec
	breaker    *prometheus.GaugeVec
	commits    *prometheus.CounterVec
	receipts   *prometheus.CounterVec
}

// NewMetrics registers the delivery metrics, besides the counters that are
// shared with processing.
func NewMetrics(reg prometheus.Registerer, counters *kafka.Counters) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets, NativeHistogramBucketFactor: 1.1,
		}, labels)
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	return &Metrics{
		reg:        reg,
		counters:   counters,
		deliveries: counter("holdfast_deliveries_total", "Records settled, by outcome.", "sink", "outcome"),
		attempts:   counter("holdfast_delivery_attempts_total", "Calls of the sink, by verdict and error class.", "sink", "tier", "outcome", "reason"),
		duration:   histogram("holdfast_delivery_attempt_duration_seconds", "Duration of a call of the sink.", prometheus.DefBuckets, "sink"),
		endToEnd: histogram("holdfast_end_to_end_seconds", "Age of a record when it was delivered.",
			[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}, "sink"),
		scheduled: counter("holdfast_retry_scheduled_total", "Records moved to a retry tier after a failure.", "sink", "tier"),
		lateness: histogram("holdfast_retry_lateness_seconds", "How long after its due time a record was sent.",
			[]float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}, "sink", "tier"),
		dead:       counter("holdfast_dlq_records_total", "Records moved to the dead-letter topic.", "sink", "reason"),
		waiting:    gauge("holdfast_retry_waiting_records", "Records that lie in a retry tier of this worker's partitions.", "sink", "tier"),
		due:        gauge("holdfast_retry_due_records", "Of these, records whose time has come.", "sink", "tier"),
		parkedKeys: gauge("holdfast_parked_keys", "Keys of which records wait behind an earlier one.", "sink"),
		parked:     gauge("holdfast_parked_records", "Records that wait behind an earlier one of their key.", "sink"),
		breaker:    gauge("holdfast_breaker_state", "1 for the state of the breaker; of several tenants' the worst.", "sink", "state"),
		commits:    counter("holdfast_commit_errors_total", "Commits of offsets that were refused.", "sink"),
		receipts:   counter("holdfast_receipt_errors_total", "Receipts that were not written.", "sink"),
	}
}

// outcome is what became of a record; it is the label of the metric.
type outcome int

const (
	outcomeDelivered outcome = iota
	outcomeDuplicate
	outcomeDead
	outcomeDiscarded
	outcomes
)

// String is the label.
func (o outcome) String() string {
	return [outcomes]string{"delivered", "duplicate", "dead_lettered", "discarded"}[o]
}

// meters are one sink's metrics, made at the start, so that alerts on series
// that never counted work and the hot path looks nothing up.
type meters struct {
	*Metrics
	sink      string
	settled   [outcomes]prometheus.Counter
	redriven  [outcomes]prometheus.Counter // of those in settled that somebody sent again
	violated  prometheus.Counter
	seconds   prometheus.Observer
	age       prometheus.Observer
	tiers     []string             // labels of the source and each tier
	succeeded []prometheus.Counter // of these

	commitErrors  prometheus.Counter
	receiptErrors prometheus.Counter
}

// sourceTier is the tier label of a first attempt.
const sourceTier = "source"

func (m *Metrics) of(cfg Config) *meters {
	sm := &meters{
		Metrics:  m,
		sink:     cfg.Sink,
		violated: m.counters.Violations.WithLabelValues(topics.Subject(cfg.Source), "deliver"),
		seconds:  m.duration.WithLabelValues(cfg.Sink),
		age:      m.endToEnd.WithLabelValues(cfg.Sink),

		commitErrors:  m.commits.WithLabelValues(cfg.Sink),
		receiptErrors: m.receipts.WithLabelValues(cfg.Sink),
	}
	for o := range outcomes {
		sm.settled[o] = m.deliveries.WithLabelValues(cfg.Sink, o.String())
		sm.redriven[o] = m.counters.Redriven.WithLabelValues(cfg.Sink, o.String())
	}
	for _, topic := range newLayout(cfg).names {
		m.counters.Consumed.WithLabelValues(topic)
	}
	sm.state(breaker.Closed)
	sm.tiers = []string{sourceTier}
	for _, d := range cfg.Tiers {
		sm.tiers = append(sm.tiers, topics.Tier(d))
		m.scheduled.WithLabelValues(cfg.Sink, topics.Tier(d))
		m.lateness.WithLabelValues(cfg.Sink, topics.Tier(d))
	}
	for _, tier := range sm.tiers {
		sm.succeeded = append(sm.succeeded, m.attempts.WithLabelValues(cfg.Sink, tier, string(holdfast.VerdictDelivered), ""))
	}
	for verdict, classes := range usual() {
		for _, class := range classes {
			m.attempts.WithLabelValues(cfg.Sink, sourceTier, string(verdict), string(class))
		}
	}
	for _, class := range holdfast.Classes() {
		m.dead.WithLabelValues(cfg.Sink, string(class))
	}
	return sm
}

// usual are the failures that every sink knows, and that alerts ask for: of first
// attempts their series are there from the start.
func usual() map[holdfast.Verdict][]holdfast.Class {
	return map[holdfast.Verdict][]holdfast.Class{
		holdfast.VerdictThrottled:    {holdfast.ClassRateLimited, holdfast.ClassQuota},
		holdfast.VerdictUnauthorized: {holdfast.ClassAuth},
		holdfast.VerdictUnavailable:  {holdfast.ClassVendor5xx, holdfast.ClassNetwork, holdfast.ClassTimeout},
		holdfast.VerdictTransient:    {holdfast.ClassVendor5xx, holdfast.ClassNetwork, holdfast.ClassTimeout, holdfast.ClassConflict},
		holdfast.VerdictPermanent:    {holdfast.ClassValidation, holdfast.ClassNotFound},
	}
}

// settle counts what became of a record.
func (m *meters) settle(env *record.Envelope, o outcome) {
	m.settled[o].Inc()
	if env.Redrive.Count > 0 {
		m.redriven[o].Inc()
	}
}

// bury counts a dead letter.
func (m *meters) bury(env *record.Envelope) {
	m.dead.WithLabelValues(m.sink, string(env.Failure.Class)).Inc()
	m.settle(env, outcomeDead)
	if env.Failure.OfSchema() {
		m.violated.Inc()
	}
}

// state shows the state of the breaker.
func (m *meters) state(now breaker.State) {
	for _, st := range []breaker.State{breaker.Closed, breaker.HalfOpen, breaker.Open} {
		on := 0.0
		if st == now {
			on = 1
		}
		m.breaker.WithLabelValues(m.sink, st.String()).Set(on)
	}
}

// attempt counts a call of the sink; tier is -1 for a record of the source.
func (m *meters) attempt(tier int, verdict holdfast.Verdict, class holdfast.Class, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	if verdict == holdfast.VerdictDelivered {
		m.succeeded[1+tier].Inc()
		return
	}
	m.attempts.WithLabelValues(m.sink, m.tiers[1+tier], string(verdict), string(class)).Inc()
}
