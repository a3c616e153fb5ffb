//go:build synctests

package delivery

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// asking is a sink that can find out what took effect, of a vendor that
// forgets keys after a while.
type asking struct {
	*world

	window  time.Duration   // of the vendor's memory
	applied map[string]bool // what took effect before the test
	answer  error           // to whoever asks

	guard sync.Mutex
	asked map[string]int
}

func (a *asking) KeyWindow() time.Duration { return a.window }

func (a *asking) LookUp(_ context.Context, at *sinks.Attempt) (bool, error) {
	a.guard.Lock()
	defer a.guard.Unlock()
	a.asked[at.Event.ID]++
	return a.applied[at.Event.ID], a.answer
}

// looked are the events that were asked for, sorted.
func (a *asking) looked() string {
	a.guard.Lock()
	defer a.guard.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(a.asked)), " ")
}

// sent are the events that were sent, sorted.
func (a *asking) sent() string {
	ids := map[string]bool{}
	for _, at := range a.all() {
		ids[at.id] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(ids)), " ")
}

func inAsking(t *testing.T, cfg Config, deliver func(*sinks.Attempt, int) error, applied []string, test func(*asking)) {
	t.Helper()
	inWorld(t, cfg, deliver, func(w *world) {
		a := &asking{world: w, window: 23 * time.Hour, applied: map[string]bool{}, asked: map[string]int{}}
		for _, id := range applied {
			a.applied[id] = true
		}
		w.sink = a
		test(a)
	})
}

func (a *asking) old(id string, age time.Duration) *kgo.Record {
	return &kgo.Record{
		Topic: source, Key: []byte(id), Value: []byte{0}, Timestamp: time.Now().Add(-age),
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}},
	}
}

// TestP2WhatAVendorMayHaveForgottenIsLookedUp: a record that is older than the
// vendor's memory may have been sent by a worker that was killed then; so may one
// that was spilled to a tier before this worker attempted it.
func TestP2WhatAVendorMayHaveForgottenIsLookedUp(t *testing.T) {
	t.Parallel()
	deliver := func(*sinks.Attempt, int) error { return nil }
	inAsking(t, Config{}, deliver, []string{"old-applied", "spilled-applied"}, func(a *asking) {
		a.send(a.old("old", 25*time.Hour))
		a.send(a.old("old-applied", 25*time.Hour))
		a.send(a.old("new", 22*time.Hour))
		committed := kadm.Offsets{}
		for i, spilled := range []struct {
			id  string
			age time.Duration
		}{{"spilled", 25 * time.Hour}, {"spilled-applied", 25 * time.Hour}, {"spilled-new", 22 * time.Hour}} {
			r := a.old(spilled.id, spilled.age)
			r.Partition, r.Offset = 1, int64(i)
			a.send(r)
			env := record.Read(r, record.Trust(false))
			env.Sink, env.Due = "s", time.Now()
			a.send(env.To(topics.Retry("s", time.Minute), 1, 1))
			committed.Add(kadm.Offset{Topic: source, Partition: 1, At: int64(i) + 1, LeaderEpoch: -1})
		}
		if err := kadm.NewClient(a.client).CommitAllOffsets(a.t.Context(), topics.Group("s"), committed); err != nil {
			t.Fatal(err)
		}
		defer a.worker()()
		pass(time.Minute)
		if got, want := a.looked(), "old old-applied spilled spilled-applied"; got != want {
			t.Errorf("looked up %q, want %q", got, want)
		}
		if got, want := a.sent(), "new old spilled spilled-new"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

// TestP2ARetryPastTheKeyWindowIsLookedUp: an outage of the vendor outlasts its
// memory of keys.
func TestP2ARetryPastTheKeyWindowIsLookedUp(t *testing.T) {
	t.Parallel()
	const window, outageEnds = 20 * time.Minute, 40 * time.Minute
	var w *asking
	deliver := func(*sinks.Attempt, int) error {
		if time.Since(w.began) < outageEnds {
			return outage()
		}
		return nil
	}
	inAsking(t, Config{}, deliver, []string{"lost-answer"}, func(a *asking) {
		w, a.window = a, window
		defer a.worker()()
		a.put("k", "lost-answer")
		a.put("l", "refused")
		pass(window - time.Second)
		if got := a.looked(); got != "" {
			t.Errorf("looked up %q within the vendor's memory", got)
		}
		pass(outageEnds - window + 10*time.Minute)
		if got := a.looked(); got != "lost-answer refused" {
			t.Errorf("looked up %q", got)
		}
		sends := a.times("lost-answer")
		if last := sends[len(sends)-1]; last > window+time.Second {
			t.Errorf("sent again after %s, though it had taken effect", last)
		}
		if !a.isDelivered("refused") {
			t.Errorf("what had not taken effect was not sent after the outage: %v", a.times("refused"))
		}
		if dead := a.read(topics.DeadLetters("s")); len(dead) != 0 {
			t.Errorf("%d dead letters", len(dead))
		}
	})
}

// TestP2AnUnknownOutcomeIsLookedUp: an answer that the vendor stored under the
// key, and that would come back for ever, makes a new key; one that never came
// keeps it.
func TestP2AnUnknownOutcomeIsLookedUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		status  int
		applied []string
		sends   int
		keys    int
	}{
		{"stored, nothing took effect", 500, nil, 2, 2},
		{"no answer, nothing took effect", 0, nil, 2, 1},
		{"stored, took effect", 500, []string{"e"}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			deliver := func(_ *sinks.Attempt, nth int) error {
				if nth == 1 {
					return &holdfast.UnknownError{Failure: holdfast.Failure{Class: holdfast.ClassUncertain, Status: c.status, Err: errVendor}}
				}
				return nil
			}
			inAsking(t, Config{}, deliver, c.applied, func(a *asking) {
				defer a.worker()()
				a.put("k", "e")
				pass(10 * time.Second)
				keys := map[string]bool{}
				for _, at := range a.all() {
					keys[at.key] = true
				}
				if len(a.all()) != c.sends || len(keys) != c.keys || a.looked() != "e" {
					t.Errorf("%d sends under %d keys, looked up %q; want %d and %d", len(a.all()), len(keys), a.looked(), c.sends, c.keys)
				}
				if at := a.committedAt(0) + a.committedAt(1); at != 1 {
					t.Errorf("committed %d of 1", at)
				}
			})
		})
	}
}
