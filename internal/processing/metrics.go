package processing

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast.internal/internal/topics"
)

// outcome is what became of a record; it is the label of the metric.
type outcome int

const (
	ok outcome = iota
	filtered
	failed
	outcomes
)

// String is the label.
func (o outcome) String() string { return [outcomes]string{"ok", "filtered", "failed"}[o] }

// Metrics are shared by the processors of a process.
type Metrics struct {
	processed *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	consumed  *prometheus.CounterVec
}

// NewMetrics registers the processors' metrics. consumed (by topic) is shared
// with delivery.
func NewMetrics(reg prometheus.Registerer, consumed *prometheus.CounterVec) *Metrics {
	m := &Metrics{
		processed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_records_processed_total", Help: "Records a processor finished, by outcome; counted when their transaction was committed.",
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

// counters are those of one processor, made at the start so that every series
// is there before the first record.
type counters struct {
	outcomes [outcomes]prometheus.Counter
	seconds  prometheus.Observer
}

func (m *Metrics) of(cfg Config) counters {
	c := counters{seconds: m.seconds.WithLabelValues(cfg.Name)}
	for o := range outcomes {
		c.outcomes[o] = m.processed.WithLabelValues(cfg.Name, o.String())
	}
	m.consumed.WithLabelValues(cfg.In)
	m.consumed.WithLabelValues(topics.Redrive(cfg.Name))
	return c
}

func (c counters) count(o outcome) { c.outcomes[o].Inc() }
