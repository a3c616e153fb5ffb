package processing

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
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

// breach says which schema a dead letter broke.
type breach int

const (
	none breach = iota
	input
	output
	breaches
)

func breachOf(err error) breach {
	_, f := holdfast.Judge(err)
	switch {
	case !f.OfSchema():
		return none
	case f.Class == holdfast.ClassTransform:
		return output
	default:
		return input
	}
}

// Metrics are shared by the processors of a process.
type Metrics struct {
	reg       prometheus.Registerer
	processed *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	counters  *kafka.Counters
}

// NewMetrics registers the processors' metrics, besides the counters that are
// shared with delivery.
func NewMetrics(reg prometheus.Registerer, counters *kafka.Counters) *Metrics {
	m := &Metrics{
		reg: reg,
		processed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_records_processed_total", Help: "Records a processor finished, by outcome; counted when their transaction was committed.",
		}, []string{"processor", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_process_duration_seconds", Help: "Duration of one call of a processor.",
			Buckets: []float64{1e-5, 1e-4, 1e-3, .01, .1, 1, 5}, NativeHistogramBucketFactor: 1.1,
		}, []string{"processor"}),
		counters: counters,
	}
	reg.MustRegister(m.processed, m.seconds)
	return m
}

// counters are those of one processor, made at the start so that every series
// is there before the first record.
type counters struct {
	outcomes [outcomes]prometheus.Counter
	// redriven counts those again that somebody sent again; what a processor
	// does with a record is its delivery.
	redriven [outcomes]prometheus.Counter
	broken   [breaches]prometheus.Counter
	seconds  prometheus.Observer
}

func (m *Metrics) of(cfg Config) counters {
	c := counters{seconds: m.seconds.WithLabelValues(cfg.Name)}
	for o := range outcomes {
		c.outcomes[o] = m.processed.WithLabelValues(cfg.Name, o.String())
		became := "delivered"
		if o == failed {
			became = "dead_lettered"
		}
		c.redriven[o] = m.counters.Redriven.WithLabelValues(cfg.Name, became)
	}
	c.broken[input] = m.counters.Violations.WithLabelValues(topics.Subject(cfg.In), "process")
	c.broken[output] = m.counters.Violations.WithLabelValues(topics.Subject(cfg.Out), "process")
	m.counters.Consumed.WithLabelValues(cfg.In)
	m.counters.Consumed.WithLabelValues(topics.Redrive(cfg.Name))
	return c
}

func (c counters) count(r result) {
	c.outcomes[r.outcome].Inc()
	if r.redriven {
		c.redriven[r.outcome].Inc()
	}
	if r.broke != none {
		c.broken[r.broke].Inc()
	}
}
