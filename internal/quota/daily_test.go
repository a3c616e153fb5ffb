package quota_test

import (
	"math"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"holdfast.internal/internal/quota"
)

func TestDailyCeiling(t *testing.T) {
	t.Parallel()
	probe := rate.Every(15 * time.Minute)
	for name, c := range map[string]struct {
		used, max float64
		want      rate.Limit
		stopped   bool
	}{
		"nothing known":                {0, 0, rate.Inf, false},
		"nothing used":                 {0, 100_000, rate.Inf, false},
		"just below the slow part":     {79_999, 100_000, rate.Inf, false},
		"where it becomes slow":        {80_000, 100_000, 15_000.0 / 86_400, false},
		"half of what is left":         {87_500, 100_000, 7_500.0 / 86_400, false},
		"never slower than probes":     {94_999, 100_000, probe, false},
		"where the reserve begins":     {95_000, 100_000, probe, true},
		"others use the reserve":       {99_000, 100_000, probe, true},
		"a vendor lets it be exceeded": {120_000, 100_000, probe, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d quota.Daily
			d.SetUsed(c.used, c.max)
			got := d.Ceiling()
			if math.Abs(float64(got-c.want)) > 1e-9*float64(c.want) || d.Stopped() != c.stopped {
				t.Errorf("%v, stopped %v; want %v, %v", got, d.Stopped(), c.want, c.stopped)
			}
		})
	}
}

func TestDailyDoesNotBelieveNonsense(t *testing.T) {
	t.Parallel()
	var d quota.Daily
	d.SetUsed(90, 100)
	for _, bad := range [][2]float64{{1, 0}, {-1, 100}, {math.NaN(), 100}, {1, math.NaN()}, {math.Inf(1), 100}, {1, math.Inf(1)}, {1, -5}} {
		d.SetUsed(bad[0], bad[1])
		if d.Used() != 0.9 {
			t.Errorf("%v was believed", bad)
		}
	}
}

// TestDailyComesBack: requests of a day ago expire, a probe tells, sending goes on.
func TestDailyComesBack(t *testing.T) {
	t.Parallel()
	var d quota.Daily
	d.SetUsed(96, 100)
	if !d.Stopped() {
		t.Fatal("not stopped at 96 %")
	}
	d.SetUsed(10, 100)
	if d.Stopped() || d.Ceiling() != rate.Inf {
		t.Errorf("still %v at 10 %%", d.Ceiling())
	}
}

// TestDailyKeepsTheReserve: who sends as fast as the ceiling, and hears the
// count now and then, uses no more than what is not reserved and the probes in a day in which
// nothing of the count expires.
func TestDailyKeepsTheReserve(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := quota.Daily{Reserve: rapid.Float64Range(0.01, 0.9).Draw(t, "reserve")}
		limit := rapid.Float64Range(1_000, 1_000_000).Draw(t, "max")
		used := limit * rapid.Float64Range(max(0, 1-d.Reserve-0.149), 1).Draw(t, "used")
		start, probes := used, 0.0
		for range 24 * 12 {
			d.SetUsed(used, limit)
			n := float64(d.Ceiling()) * 300
			if d.Stopped() || float64(d.Ceiling()) <= float64(rate.Every(15*time.Minute)) {
				probes += n
			}
			used += n
		}
		if most := max(start, limit*(1-d.Reserve)) + probes; used > most*(1+1e-9) {
			t.Fatalf("used %v of %v, at most %v", used, limit, most)
		}
	})
}
