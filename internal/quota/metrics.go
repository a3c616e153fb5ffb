package quota

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics shows limits by sink, as they are when somebody asks. Sinks that
// share an account show the account's.
type Metrics struct {
	wait                   *prometheus.HistogramVec
	limit, available, used *prometheus.Desc

	mu      sync.Mutex
	buckets map[string]*Bucket
}

// NewMetrics registers the series; a sink's are there once it is watched.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_rate_limit_wait_seconds", Help: "How long a request that was next waited for a token of the limit.",
			Buckets: []float64{.001, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, NativeHistogramBucketFactor: 1.1,
		}, []string{"sink"}),
		limit: prometheus.NewDesc("holdfast_rate_limit_limit",
			"Requests per second that this replica may make now, its share of the limit, +Inf for none: sum over replicas.", []string{"sink"}, nil),
		available: prometheus.NewDesc("holdfast_rate_limit_available",
			"Requests that this replica could make at once, +Inf without a limit: sum over replicas.", []string{"sink"}, nil),
		used: prometheus.NewDesc("holdfast_quota_used_ratio",
			"Part of a quota that is used as the vendor last said, by everything that shares it: take the max over replicas.", []string{"sink", "window"}, nil),
		buckets: map[string]*Bucket{},
	}
	reg.MustRegister(m.wait, m)
	return m
}

// Watch shows the limit of a sink, and its daily quota if it has one.
func (m *Metrics) Watch(sink string, b *Bucket) {
	b.observe(m.wait.WithLabelValues(sink))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.buckets[sink] = b
}

// Describe is for prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.limit
	to <- m.available
	to <- m.used
}

// Collect is for prometheus.Collector.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for sink, b := range m.buckets {
		limit, available := b.now(time.Now())
		to <- prometheus.MustNewConstMetric(m.limit, prometheus.GaugeValue, limit, sink)
		to <- prometheus.MustNewConstMetric(m.available, prometheus.GaugeValue, available, sink)
		if b.vendor.daily != nil {
			to <- prometheus.MustNewConstMetric(m.used, prometheus.GaugeValue, b.vendor.daily.Used(), sink, "day")
		}
	}
}

// observe lets o see every wait from now on.
func (b *Bucket) observe(o prometheus.Observer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waits.observers = append(b.waits.observers, o)
}

// now is this process's rate and the tokens that are there; both are infinite
// where there is no limit.
func (b *Bucket) now(now time.Time) (limit, available float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(now)
	if b.unlimited() {
		return math.Inf(1), math.Inf(1)
	}
	return b.tokens.share.Rate, max(0, b.tokens.limiter.TokensAt(b.tokens.later(now))/perToken)
}
