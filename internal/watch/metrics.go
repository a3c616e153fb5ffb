package watch

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.internal/internal/topics"
)

// series are the gauges of this package.
type series struct {
	records, seconds        *prometheus.GaugeVec
	open, oldest, retention *prometheus.GaugeVec
}

func newSeries(reg prometheus.Registerer) series {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	return series{
		records: gauge("holdfast_consumer_lag_records",
			"Records not settled in the partitions that this replica owns: sum over replicas. Of kind dlq, open dead letters.", "group", "topic", "kind"),
		seconds: gauge("holdfast_consumer_lag_seconds",
			"Age of the oldest of these; of kind retry, how long the first is overdue. Take the max over replicas.", "group", "topic", "kind"),
		open: gauge("holdfast_dlq_open_records",
			"Dead letters of this sink or processor that nobody decided about, in the partitions that this replica owns: sum over replicas.", "sink"),
		oldest: gauge("holdfast_dlq_oldest_open_timestamp_seconds",
			"When the oldest of these was written, 0 for none: over replicas, the min of those above 0.", "sink"),
		retention: gauge("holdfast_dlq_retention_seconds",
			"How long the dead-letter topic keeps a record, +Inf for ever; the same on every replica, 0 until it is known.", "sink"),
	}
}

// begin makes the series of a group, so that they are there before anything is known.
func (s *series) begin(g *Group) {
	for topic, k := range g.topics() {
		s.lag(g, topic, k, behind{}, time.Time{})
	}
	s.letters(g, behind{}, time.Time{})
	s.retention.WithLabelValues(g.Name)
}

func (s *series) lag(g *Group, topic string, k kind, b behind, now time.Time) {
	labels := []string{topics.Group(g.Name), topic, string(k)}
	s.records.WithLabelValues(labels...).Set(float64(b.records))
	age := 0.0
	if !b.since.IsZero() {
		age = max(0, now.Sub(b.since).Seconds())
	}
	s.seconds.WithLabelValues(labels...).Set(age)
}

func (s *series) letters(g *Group, b behind, now time.Time) {
	s.lag(g, topics.DeadLetters(g.Name), dead, b, now)
	s.open.WithLabelValues(g.Name).Set(float64(b.records))
	since := 0.0
	if !b.since.IsZero() {
		since = float64(b.since.Unix())
	}
	s.oldest.WithLabelValues(g.Name).Set(since)
}

// kept sets the retention of a group's dead letters; negative is for ever.
func (s *series) kept(g *Group, retention time.Duration) {
	seconds := retention.Seconds()
	if retention < 0 {
		seconds = math.Inf(1)
	}
	s.retention.WithLabelValues(g.Name).Set(seconds)
}
