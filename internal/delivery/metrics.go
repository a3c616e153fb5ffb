package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.internal"
	"holdfast.internal/internal/topics"
)

// Metrics are shared by the workers of all sinks of a process.
type Metrics struct {
	deliveries *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	endToEnd   *prometheus.HistogramVec
	scheduled  *prometheus.CounterVec
	lateness   *prometheus.HistogramVec
	dead       *prometheus.CounterVec
	consumed   *prometheus.CounterVec
	waiting    *prometheus.GaugeVec
	due        *prometheus.GaugeVec
	parkedKeys *prometheus.GaugeVec
	parked     *prometheus.GaugeVec
	breaker    *prometheus.GaugeVec
	commits    *prometheus.CounterVec
	receipts   *prometheus.CounterVec
}

// NewMetrics registers the delivery metrics. consumed is shared with processing.
func NewMetrics(reg prometheus.Registerer, consumed *prometheus.CounterVec) *Metrics {
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
		deliveries: counter("holdfast_deliveries_total", "Records settled, by outcome.", "sink", "outcome"),
		attempts:   counter("holdfast_delivery_attempts_total", "Calls of the sink, by verdict and error class.", "sink", "tier", "outcome", "reason"),
		duration:   histogram("holdfast_delivery_attempt_duration_seconds", "Duration of a call of the sink.", prometheus.DefBuckets, "sink"),
		endToEnd: histogram("holdfast_end_to_end_seconds", "Age of a record when it was delivered.",
			[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}, "sink"),
		scheduled: counter("holdfast_retry_scheduled_total", "Records moved to a retry tier.", "sink", "tier"),
		lateness: histogram("holdfast_retry_lateness_seconds", "How long after its due time a record was sent.",
			[]float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}, "sink", "tier"),
		dead:       counter("holdfast_dlq_records_total", "Records moved to the dead-letter topic.", "sink", "reason"),
		consumed:   consumed,
		waiting:    gauge("holdfast_retry_waiting_records", "Records that lie in a retry tier of this worker's partitions.", "sink", "tier"),
		due:        gauge("holdfast_retry_due_records", "Of these, records whose time has come.", "sink", "tier"),
		parkedKeys: gauge("holdfast_parked_keys", "Keys of which records wait behind an earlier one.", "sink"),
		parked:     gauge("holdfast_parked_records", "Records that wait behind an earlier one of their key.", "sink"),
		breaker:    gauge("holdfast_breaker_state", "1 for the state of the breaker; of several tenants' the worst.", "sink", "state"),
		commits:    counter("holdfast_commit_errors_total", "Commits of offsets that were refused.", "sink"),
		receipts:   counter("holdfast_receipt_errors_total", "Receipts that were not written.", "sink"),
	}
}

// Outcomes of a record.
const (
	outcomeDelivered = "delivered"
	outcomeDuplicate = "duplicate"
	outcomeDead      = "dead_lettered"
	outcomeDiscarded = "discarded"
)

// meters are one sink's metrics, made at the start, so that alerts on series
// that never counted work and the hot path looks nothing up.
type meters struct {
	*Metrics
	sink      string
	delivered prometheus.Counter
	duplicate prometheus.Counter
	discarded prometheus.Counter
	buried    prometheus.Counter
	seconds   prometheus.Observer
	age       prometheus.Observer
	succeeded map[string]prometheus.Counter // by tier

	commitErrors  prometheus.Counter
	receiptErrors prometheus.Counter
}

// sourceTier is the tier label of a first attempt.
const sourceTier = "source"

func (m *Metrics) of(cfg Config) *meters {
	sm := &meters{
		Metrics:   m,
		sink:      cfg.Sink,
		delivered: m.deliveries.WithLabelValues(cfg.Sink, outcomeDelivered),
		duplicate: m.deliveries.WithLabelValues(cfg.Sink, outcomeDuplicate),
		discarded: m.deliveries.WithLabelValues(cfg.Sink, outcomeDiscarded),
		buried:    m.deliveries.WithLabelValues(cfg.Sink, outcomeDead),
		seconds:   m.duration.WithLabelValues(cfg.Sink),
		age:       m.endToEnd.WithLabelValues(cfg.Sink),
		succeeded: make(map[string]prometheus.Counter),

		commitErrors:  m.commits.WithLabelValues(cfg.Sink),
		receiptErrors: m.receipts.WithLabelValues(cfg.Sink),
	}
	tiers := []string{sourceTier}
	for _, d := range cfg.Tiers {
		tiers = append(tiers, topics.Tier(d))
		m.scheduled.WithLabelValues(cfg.Sink, topics.Tier(d))
		m.lateness.WithLabelValues(cfg.Sink, topics.Tier(d))
	}
	for _, tier := range tiers {
		sm.succeeded[tier] = m.attempts.WithLabelValues(cfg.Sink, tier, string(holdfast.VerdictDelivered), "")
	}
	for _, class := range holdfast.Classes() {
		m.dead.WithLabelValues(cfg.Sink, string(class))
	}
	return sm
}

func (m *meters) attempt(tier string, verdict holdfast.Verdict, class holdfast.Class, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	if verdict == holdfast.VerdictDelivered {
		m.succeeded[tier].Inc()
		return
	}
	m.attempts.WithLabelValues(m.sink, tier, string(verdict), string(class)).Inc()
}
