package kafka

import "github.com/prometheus/client_golang/prometheus"

// ConsumedCounter registers the count of records read, by topic, which
// processors and sinks share.
func ConsumedCounter(reg prometheus.Registerer) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "holdfast_records_consumed_total", Help: "Records read."}, []string{"topic"})
	reg.MustRegister(v)
	return v
}
