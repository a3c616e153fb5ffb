//go:build synctests

package delivery

import (
	"context"
	"errors"
	"testing"
	"time"

	"holdfast.internal/sinks"
)

// TestOneNameTwoWorkers: of two under one name one gives up, and the other goes
// on alone.
func TestOneNameTwoWorkers(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Instance: "a"}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		ctx, stop := context.WithCancel(w.t.Context())
		ended := make(chan error, 2)
		for range 2 {
			worker := w.make()
			go func() { ended <- worker.Run(ctx) }()
		}
		select {
		case err := <-ended:
			if !errors.Is(err, ErrFenced) {
				w.t.Errorf("ended with %v", err)
			}
		case <-time.After(2 * time.Minute):
			w.t.Error("both go on for ever")
		}
		w.produce(20)
		time.Sleep(30 * time.Second) //nolint:forbidigo // virtual time
		if n := w.delivered(); n != 20 {
			w.t.Errorf("%d of 20 delivered by the one that is left", n)
		}
		stop()
		if err := <-ended; err != nil {
			w.t.Errorf("the one that is left: %v", err)
		}
	})
}
