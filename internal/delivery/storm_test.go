//go:build synctests

package delivery

import (
	"context"
	"testing"
	"time"

	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/sinks"
)

// TestP3AStormOfRebalancesIsWorkedThrough: of three workers one comes and goes
// every half a second (fault matrix 26). What it shows is the rate of the two
// that stay, and that nothing is sent twice: whoever leaves says what it has done.
func TestP3AStormOfRebalancesIsWorkedThrough(t *testing.T) {
	t.Parallel()
	const events, storm = 60_000, 20 * time.Second
	inFleet(t, vendorsim.Options{}, func(f *fleet) {
		f.spread(events)
		sent := map[string]int{}
		worker := func() (stop func()) {
			return f.replica(fleetConfig(), func(d *Deps, _ *quota.Shares, _ func() float64) {
				d.Sink = sinks.Func(func(_ context.Context, a *sinks.Attempt) error {
					f.mu.Lock()
					sent[a.Event.ID]++
					f.counts.add(time.Since(f.began), 1)
					f.mu.Unlock()
					pass(30 * time.Millisecond)
					return nil
				})
			})
		}
		defer worker()()
		defer worker()()
		pass(5 * time.Second)
		calm := time.Since(f.began)
		pass(storm)
		from := time.Since(f.began)
		for time.Since(f.began) < from+storm {
			leave := worker()
			pass(500 * time.Millisecond)
			leave()
			pass(500 * time.Millisecond)
		}
		to := time.Since(f.began)
		f.mu.Lock()
		defer f.mu.Unlock()
		before, during := f.counts.sum(calm, from)/(from-calm).Seconds(), f.counts.sum(from, to)/(to-from).Seconds()
		twice := 0
		for _, n := range sent {
			twice += n - 1
		}
		t.Logf("%.0f/s before, %.0f/s in the storm (%.2f); %d sent twice", before, during, during/before, twice)
		if during < before/2 || twice != 0 {
			t.Errorf("%.0f/s before, %.0f/s in the storm; %d sent twice", before, during, twice)
		}
	})
}
