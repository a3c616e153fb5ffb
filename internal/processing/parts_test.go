//go:build synctests

package processing

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast.internal"
	"holdfast.internal/internal/watch"
	"holdfast.internal/processors"
)

// TestPartsSayWhatIsNotCommitted: a partition that waits holds what it has
// read, as old as the record that waits; one that is done holds nothing. What
// was redriven and what broke a schema is counted apart.
func TestPartsSayWhatIsNotCommitted(t *testing.T) {
	t.Parallel()
	virtually(t, 2, func(w *world) {
		serde := plain{open: func(context.Context, uint32) error {
			return holdfast.Permanent(holdfast.ClassSchema, "unknown_schema", errRefused)
		}}
		stuck := processors.Func(func(ctx context.Context, ev holdfast.Event) ([]processors.Output, error) {
			if ev.Origin.Partition == 1 {
				return nil, &holdfast.TransientError{Failure: holdfast.Failure{Class: holdfast.ClassConflict, Err: errRefused}}
			}
			return upper(ctx, ev)
		})
		r := w.runtime(Config{Instance: "a"}, stuck, serde)
		w.start(r)
		w.put(in, 0, good("a"), wire(7, "x"))
		w.put(redrive, 0, good("again"))
		w.put(in, 1, good("b"), good("c"))
		w.read(out, 2, time.Minute)
		pass(20 * time.Second)
		parts := map[partition]watch.Part{}
		for _, p := range r.Parts() {
			parts[partition{p.Topic, p.Partition}] = p
		}
		if p := parts[partition{in, 0}]; p.Next != 2 || p.Held != 0 || !p.Oldest.IsZero() {
			t.Errorf("the partition that is done: %+v", p)
		}
		if p := parts[partition{in, 1}]; p.Held == 0 || p.Next != p.Held || time.Since(p.Oldest) < 20*time.Second || time.Since(p.Oldest) > time.Minute {
			t.Errorf("the partition that waits: %+v", p)
		}
		if n := testutil.ToFloat64(r.metrics.redriven[ok]); n != 1 {
			t.Errorf("%v redriven", n)
		}
		if n := testutil.ToFloat64(r.metrics.broken[input]); n != 1 {
			t.Errorf("%v violations of the input's schema", n)
		}
	})
}
