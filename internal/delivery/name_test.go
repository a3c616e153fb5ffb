//go:build synctests

package delivery

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/sinks"
)

// TestOneNameTwoWorkers: of two under one name the older gives up, and the other
// goes on alone.
func TestOneNameTwoWorkers(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Instance: "a"}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		ctx, stop := context.WithCancel(w.t.Context())
		ended := make(chan error, 2)
		older := w.make()
		go func() { ended <- older.Run(ctx) }()
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		younger := w.make()
		go func() { ended <- younger.Run(ctx) }()
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		if older.Trouble() == "" || younger.Trouble() != "" {
			w.t.Errorf("trouble of the older: %q, of the younger: %q", older.Trouble(), younger.Trouble())
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

// TestAGhostOfTheName: who had the name for a moment does not end the one that
// lives.
func TestAGhostOfTheName(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Instance: "a"}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		worker, stop := w.start()
		defer stop()
		<-worker.Ready()
		ghost := w.make()
		ctx, vanish := context.WithTimeout(w.t.Context(), 500*time.Millisecond)
		defer vanish()
		if err := ghost.Run(ctx); err != nil {
			w.t.Error(err)
		}
		if worker.Trouble() == "" {
			w.t.Error("the ghost took nothing")
		}
		w.sendsOn(worker)
	})
}

// TestANameThatIsRefusedOnce is asked for again, whatever asked for it.
func TestANameThatIsRefusedOnce(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]kmsg.Key{"join": kmsg.JoinGroup, "sync": kmsg.SyncGroup, "heartbeat": kmsg.Heartbeat} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, Config{Instance: "a"}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
				refusal := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, TopLevel: true, Err: kerr.FencedInstanceID, Count: 1})
				worker, stop := w.start()
				defer stop()
				w.sendsOn(worker)
				if refusal.Hits() != 1 {
					w.t.Errorf("refused %d times", refusal.Hits())
				}
			})
		})
	}
}

// sendsOn waits until a worker has its name back, and delivers under it.
func (w *world) sendsOn(worker *Worker) {
	w.t.Helper()
	w.produce(20)
	time.Sleep(30 * time.Second) //nolint:forbidigo // virtual time
	if n := w.delivered(); n != 20 || worker.Trouble() != "" {
		w.t.Errorf("%d of 20 delivered, trouble %q", n, worker.Trouble())
	}
}

// TestOneNameWhereTheBrokerBalances: the younger waits, and says for what.
func TestOneNameWhereTheBrokerBalances(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Instance: "a", BrokerBalances: true}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		older, stopOlder := w.start()
		<-older.Ready()
		younger, stopYounger := w.start()
		w.produce(20)
		time.Sleep(30 * time.Second) //nolint:forbidigo // virtual time
		if n := w.delivered(); n != 20 || older.Trouble() != "" || !strings.Contains(younger.Trouble(), "instance name") {
			w.t.Errorf("%d of 20 delivered, trouble of the older: %q, of the younger: %q", n, older.Trouble(), younger.Trouble())
		}
		stopYounger()
		stopOlder()
	})
}
