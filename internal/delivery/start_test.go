//go:build synctests

package delivery

import (
	"testing"
	"time"

	"holdfast.internal/sinks"
)

func TestP1ASinkThatStartsAtTheEndLosesNothingOverARestart(t *testing.T) {
	t.Parallel()
	deliver := func(*sinks.Attempt, int) error { return nil }
	inWorld(t, Config{FromLatest: true}, deliver, func(w *world) {
		w.event("before", "k", "")
		stop := w.worker()
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		stop()
		w.event("between", "k", "")
		stop = w.worker()
		defer stop()
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		if w.isDelivered("before") {
			t.Error("delivered what was there before the sink was")
		}
		if !w.isDelivered("between") {
			t.Error("lost what came while the sink was away")
		}
	})
}
