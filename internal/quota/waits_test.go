package quota

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// seen keeps what was observed, in milliseconds.
type seen []int64

func (s *seen) Observe(v float64) { *s = append(*s, int64(math.Round(v*1000))) }

// TestWaitsAreFromTheFirstRefusalToTheToken; who was refused and never came
// back did not wait.
func TestWaitsAreFromTheFirstRefusalToTheToken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := now.Add
	var s seen
	w := waits{observers: []prometheus.Observer{&s}}
	w.end(at(0))
	w.begin(at(time.Second))
	w.begin(at(1500 * time.Millisecond))
	w.end(at(1750 * time.Millisecond))
	w.begin(at(2 * time.Second))
	w.end(at(time.Hour)) // somebody else
	w.begin(at(2 * time.Hour))
	w.begin(at(3 * time.Hour)) // somebody else again
	w.end(at(3*time.Hour + time.Second))
	if want := (seen{0, 750, 0, 1000}); len(s) != len(want) || s[1] != want[1] || s[0] != 0 || s[2] != 0 || s[3] != want[3] {
		t.Errorf("waited %v ms, want %v", s, want)
	}
}

// TestMetricsShowTheBucketAsItIs: its rate and tokens, no limit as infinity,
// and of a daily quota what the vendor said.
func TestMetricsShowTheBucketAsItIs(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	m.Watch("limited", Full(Limit{Name: "a", Rate: 5, Burst: 20}))
	m.Watch("free", Local(Limit{Name: "b", Rate: rate.Inf, Burst: 1}))
	daily := Local(Limit{Name: "c", Rate: 100, Burst: 1, Reserve: 0.05})
	daily.SetUsed(25, 100)
	m.Watch("daily", daily)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			if metric.Gauge == nil {
				continue
			}
			for _, l := range metric.GetLabel() {
				if l.GetName() == "sink" {
					got[f.GetName()+" "+l.GetValue()] = metric.GetGauge().GetValue()
				}
			}
		}
	}
	for series, want := range map[string]float64{
		"holdfast_rate_limit_limit limited": 5, "holdfast_rate_limit_limit free": math.Inf(1), "holdfast_rate_limit_available free": math.Inf(1),
		"holdfast_quota_used_ratio daily": 0.25, "holdfast_rate_limit_limit daily": 100,
	} {
		if got[series] != want {
			t.Errorf("%s: %v, want %v", series, got[series], want)
		}
	}
	if a := got["holdfast_rate_limit_available limited"]; a < 20 || a > 21 {
		t.Errorf("%v available, want 20", a)
	}
	if _, ok := got["holdfast_quota_used_ratio limited"]; ok {
		t.Error("a quota is shown that there is not")
	}
}
