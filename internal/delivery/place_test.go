//go:build synctests

package delivery

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// TestASinkWhosePlaceIsLost: it is refused until somebody says where to begin,
// and then begins there, with its source and its tiers.
func TestASinkWhosePlaceIsLost(t *testing.T) {
	t.Parallel()
	for from, want := range map[string][]string{
		"earliest": {"early", "late", "after"},
		"latest":   {"after"},
		"time":     {"late", "after"},
	} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			failing := func(a *sinks.Attempt, nth int) error {
				if nth == 1 && a.Event.ID != "after" {
					return conflict() // and lies in the first tier then
				}
				return nil
			}
			inWorld(t, Config{}, failing, func(w *world) {
				admin := kadm.NewClient(w.client)
				check := func() error { return CheckPlace(w.t.Context(), w.client, w.cfg) }
				if err := check(); err != nil {
					t.Errorf("a new sink: %v", err)
				}
				stop := w.worker()
				w.event("early", "a", "")
				pass(2 * time.Minute)
				since := time.Now().UTC().Truncate(time.Second)
				pass(time.Minute)
				w.event("late", "b", "")
				pass(2 * time.Minute)
				stop()
				if err := check(); err != nil {
					t.Errorf("a sink that is stopped: %v", err)
				}
				if _, err := admin.DeleteGroup(w.t.Context(), topics.Group("s")); err != nil {
					t.Fatal(err)
				}
				if err := check(); !errors.Is(err, ErrPlaceLost) {
					t.Errorf("without its offsets: %v", err)
				}
				text := from
				if from == "time" {
					text = since.Format(time.RFC3339)
				}
				var err error
				if w.cfg.From, err = ParseFrom(text); err != nil {
					t.Fatal(err)
				}
				if err := check(); err != nil {
					t.Errorf("--from %s: %v", text, err)
				}
				before := len(w.all())
				stop = w.worker()
				pass(2 * time.Minute)
				w.event("after", "a", "")
				pass(2 * time.Minute)
				stop()
				var got []string
				for _, a := range w.all()[before:] {
					if !slices.Contains(got, a.id) {
						got = append(got, a.id)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("--from %s sent %v, want %v", text, got, want)
				}
			})
		})
	}
}

// TestAPlaceIsKeptBeforeTheFirstSend: a worker killed at once leaves no doubt
// about where the sink was.
func TestAPlaceIsKeptBeforeTheFirstSend(t *testing.T) {
	t.Parallel()
	var w *world
	var first chan error
	inWorld(t, Config{}, func(*sinks.Attempt, int) error {
		done, err := kadm.NewClient(w.client).FetchOffsets(w.t.Context(), topics.Group("s"))
		if _, ok := done.Lookup(source, 0); err == nil && !ok {
			err = ErrPlaceLost
		}
		first <- err
		return nil
	}, func(world *world) {
		w, first = world, make(chan error, 1)
		w.event("one", "a", "")
		stop := w.worker()
		defer stop()
		if err := <-first; err != nil {
			t.Errorf("while the first is sent: %v", err)
		}
	})
}

// TestAFreshClusterHasNoCoordinatorYet: that is waited for.
func TestAFreshClusterHasNoCoordinatorYet(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, nil, func(w *world) {
		fresh := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 40})
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		if err := CheckPlace(ctx, w.client, w.cfg); err != nil {
			t.Error(err)
		}
		if n := fresh.Hits(); n != 40 {
			t.Errorf("asked %d times of 40", n)
		}
	})
}

func TestParseFrom(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Earliest", "2026-01-31", "-1", "yesterday"} {
		if _, err := ParseFrom(text); !errors.Is(err, ErrFrom) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestAStartWaitsForTheCoordinator: a worker that comes back while the broker
// of its group is away does not give up.
func TestAStartWaitsForTheCoordinator(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, nil, func(w *world) {
		back, cut := time.Now().Add(15*time.Second), 0
		w.cluster.ControlKey(int16(kmsg.OffsetFetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			if time.Now().After(back) {
				return nil, nil, false
			}
			cut++
			return nil, errCut, true // ends the connection
		})
		ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
		defer cancel()
		if err := CheckPlace(ctx, w.client, w.cfg); err != nil || cut == 0 {
			t.Errorf("%v after %d connections were cut, want none", err, cut)
		}
	})
}
