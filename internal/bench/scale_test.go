package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// drained are deliveries at a rate for some seconds, then at another.
func drained(rates ...int64) sightings {
	var s sightings
	for _, r := range rates {
		s.Buckets = append(s.Buckets, slices.Repeat([]int64{r / int64(time.Second/bucket)}, int(time.Second/bucket))...)
	}
	return s
}

func TestASlowEndOfADrainIsSeen(t *testing.T) {
	t.Parallel()
	s := drained(1000, 1000, 1000, 200)
	drain, steady, quarters := s.rates()
	if drain != 800 || steady != 1000 || !slices.Equal(quarters, []float64{1000, 1000, 1000, 200}) {
		t.Errorf("drain %v, steady %v, quarters %v; want 800, 1000, [1000 1000 1000 200]", drain, steady, quarters)
	}
	if half := s.after(0.5); half != 1600*time.Millisecond {
		t.Errorf("half of 3,200 records after %s, want 1.6s", half)
	}
}

func TestASizeThatIsMissedIsNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		f    sized
		want []string
	}{
		"all goals met":       {sized{Case: backlog, RSSMiB: 250, Drain: 95, Steady: 100}, nil},
		"too much memory":     {sized{Case: backlog, RSSMiB: 257, Drain: 95, Steady: 100}, []string{"rss_mib"}},
		"slower and slower":   {sized{Case: backlog, Drain: 89, Steady: 100}, []string{"steady"}},
		"slow to know":        {sized{Case: parked, AfterAssigned: 5.1}, []string{"first_send_after_assignment_s"}},
		"late":                {sized{Case: allDue, Late: &lateness{First: 1.5}}, []string{"first"}},
		"before the due time": {sized{Case: allDue, Late: &lateness{Early: 1}}, []string{"sends"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var missed []string
			for _, m := range tc.f.miss() {
				missed = append(missed, strings.Fields(m)[1])
			}
			if !slices.Equal(missed, tc.want) {
				t.Errorf("missed %v, want %v", missed, tc.want)
			}
		})
	}
}
