//go:build synctests

package delivery

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast.internal/internal/topics"
	"holdfast.internal/internal/watch"
	"holdfast.internal/sinks"
)

// TestPartsSayWhatWaits: of the source what is in work, and since when; of a
// tier what lies there, and how late the first of it is.
func TestPartsSayWhatWaits(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 1}, func(a *sinks.Attempt, _ int) error {
		if a.Event.ID == "slow" {
			<-t.Context().Done()
		}
		return nil
	}, func(w *world) {
		w.event("slow", "k", "")
		for i := range 3 {
			w.inTier(time.Minute, "t", string(rune('a'+i)), int64(10+i), time.Now().Add(time.Duration(i+1)*time.Minute))
		}
		worker, stop := w.start()
		defer stop()
		time.Sleep(2*time.Minute + 30*time.Second) //nolint:forbidigo // virtual time
		held, oldest := map[string]int64{}, map[string]time.Duration{}
		for _, p := range worker.Parts() {
			held[p.Topic] += p.Held
			if !p.Oldest.IsZero() {
				oldest[p.Topic] = time.Since(p.Oldest).Round(10 * time.Second)
			}
		}
		tier := topics.Retry("s", time.Minute)
		if held[source] != 1 || held[tier] != 3 || held[topics.Redrive("s")] != 0 {
			t.Errorf("held: %v", held)
		}
		if oldest[source] != 150*time.Second || oldest[tier] != 90*time.Second {
			t.Errorf("oldest: %v", oldest)
		}
		if n := testutil.ToFloat64(worker.meters.counters.Consumed.WithLabelValues(tier)); n != 3 {
			t.Errorf("%v records consumed of the tier", n)
		}
		if !slices.ContainsFunc(worker.Parts(), func(p watch.Part) bool { return p.Topic == source && p.Next == 1 }) {
			t.Errorf("the source was read elsewhere: %+v", worker.Parts())
		}
	})
}
