package kafka

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
)

// Counters are those that processors and sinks share.
type Counters struct {
	// Consumed counts records read, by topic.
	Consumed *prometheus.CounterVec
	// Redriven counts records that somebody sent again, once they are settled,
	// by sink (or processor) and outcome.
	Redriven *prometheus.CounterVec
	// Violations counts values that did not fit the schema of a subject, or had
	// none, by the stage that refused them: produce, process or deliver.
	Violations *prometheus.CounterVec
}

// NewCounters registers them.
func NewCounters(reg prometheus.Registerer) *Counters {
	c := &Counters{
		Consumed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_records_consumed_total", Help: "Records read.",
		}, []string{"topic"}),
		Redriven: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_redriven_records_total", Help: "Records that were sent again from the dead letters, once they are settled, by outcome.",
		}, []string{"sink", "outcome"}),
		Violations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_schema_violations_total", Help: "Values that did not fit the schema of a subject, or had none, by the stage that refused them.",
		}, []string{"subject", "stage"}),
	}
	reg.MustRegister(c.Consumed, c.Redriven, c.Violations)
	return c
}

// Measured makes a client show holdfast_kafka_* series under a name of its own,
// until it is closed. Of two clients that are open at a time under one name the
// second one panics: the option is for clients that live as long as a worker.
func Measured(reg prometheus.Registerer, client string) kgo.Opt {
	return kgo.WithHooks(kprom.NewMetrics("holdfast",
		kprom.Subsystem("kafka"), kprom.Registerer(reg), kprom.WithStaticLabel(prometheus.Labels{"client": client})))
}
