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
// lives, nor does a broker that refuses it once.
func TestAGhostOfTheName(t *testing.T) {
	t.Parallel()
	refuse := func(key kmsg.Key) func(*world) {
		return func(w *world) {
			w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, TopLevel: true, Err: kerr.FencedInstanceID, Count: 1})
		}
	}
	for name, haunt := range map[string]func(*world){
		"a process that came and went": func(w *world) {
			ghost := w.make()
			ctx, stop := context.WithTimeout(w.t.Context(), 500*time.Millisecond)
			defer stop()
			if err := ghost.Run(ctx); err != nil {
				w.t.Error(err)
			}
		},
		"a join": refuse(kmsg.JoinGroup), "a sync": refuse(kmsg.SyncGroup), "a heartbeat": refuse(kmsg.Heartbeat),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, Config{Instance: "a"}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
				worker, stop := w.start()
				defer stop()
				<-worker.Ready()
				haunt(w)
				w.produce(20)
				time.Sleep(30 * time.Second) //nolint:forbidigo // virtual time
				if n := w.delivered(); n != 20 || worker.Trouble() != "" {
					w.t.Errorf("%d of 20 delivered, trouble %q", n, worker.Trouble())
				}
			})
		})
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
