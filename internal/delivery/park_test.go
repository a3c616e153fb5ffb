//go:build synctests

package delivery

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// refused kills a record at once.
func refused() error {
	return &holdfast.PermanentError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 402, Code: "card_declined", Err: errVendor}}
}

// refuse refuses the first attempt of the named events.
func refuse(ids ...string) func(*sinks.Attempt, int) error {
	return func(a *sinks.Attempt, nth int) error {
		if nth == 1 && slices.Contains(ids, a.Event.ID) {
			return refused()
		}
		return nil
	}
}

// put writes events of one key to the source.
func (w *world) put(key string, ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		w.send(&kgo.Record{Topic: source, Key: []byte(key), Value: []byte{0}, Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}}})
	}
}

// letters returns the dead-letter topic's records of an event.
func (w *world) letters(id string) []*record.Envelope {
	w.t.Helper()
	var found []*record.Envelope
	for _, r := range w.read(topics.DeadLetters("s")) {
		if e := record.Read(r, record.FromHoldfast); e.Event.ID == id {
			found = append(found, e)
		}
	}
	return found
}

// decide settles the newest letter of an event, as `holdfast dlq` does.
func (w *world) decide(id string, state disposition.State) {
	w.t.Helper()
	all := w.letters(id)
	if len(all) == 0 {
		w.t.Fatalf("%s has no letter", id)
	}
	letter := all[len(all)-1]
	note, err := disposition.Disposition{State: state, By: "ana", Reason: "INC-1", At: time.Now()}.Record(letter.At)
	if err != nil {
		w.t.Fatal(err)
	}
	note.Partition = 1 // anywhere: the client of the test places records by hand
	if state == disposition.Redriven {
		w.send(letter.ToRedrive(topics.Redrive("s"), record.Redrive{Job: "rd-1", Count: letter.Redrive.Count + 1, By: "ana"}))
	}
	w.send(note)
}

// sent returns the ids of a key's attempts, in order.
func (w *world) sent(prefix string) []string {
	var ids []string
	for _, a := range w.all() {
		if strings.HasPrefix(a.id, prefix) {
			ids = append(ids, a.id)
		}
	}
	return ids
}

func (w *world) wantSent(prefix string, want ...string) {
	w.t.Helper()
	if got := w.sent(prefix); !slices.Equal(got, want) {
		w.t.Errorf("sent %v, want %v", got, want)
	}
}

func TestP3WhatFollowsADeadLetterWaitsAndOthersFlow(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Park: true}, refuse("a1"), func(w *world) {
		stop := w.worker()
		defer stop()
		w.put("a", "a1", "a2", "a3")
		w.put("b", "b1")
		pass(5 * time.Second)
		w.put("a", "a4")
		w.put("b", "b2")
		pass(time.Minute)
		w.wantSent("a", "a1")
		w.wantSent("b", "b1", "b2")
		dead := w.letters("a1")[0].At.String()
		for _, id := range []string{"a2", "a3", "a4"} {
			all := w.letters(id)
			if len(all) != 1 {
				t.Fatalf("%s has %d letters, want the parked one", id, len(all))
			}
			if e := all[0]; !e.Parked() || e.Spent != 0 || !e.FirstFailed.IsZero() || !strings.Contains(e.Message, dead) {
				t.Errorf("%s: spent %d, %+v, %q", id, e.Spent, e.Failure, e.Message)
			}
		}
	})
}

func TestP3ADecisionReleasesTheFollowersInOrder(t *testing.T) {
	t.Parallel()
	for state, want := range map[disposition.State][]string{
		disposition.Discarded:    {"a1", "a2", "a3", "a4"},
		disposition.Skipped:      {"a1", "a2", "a3", "a4"},
		disposition.Redriven:     {"a1", "a1", "a2", "a3", "a4"},
		disposition.Acknowledged: {"a1"},
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			inWorld(t, Config{Park: true}, refuse("a1"), func(w *world) {
				stop := w.worker()
				defer stop()
				w.put("a", "a1", "a2", "a3", "a4")
				pass(10 * time.Second)
				w.wantSent("a", "a1")
				w.decide("a1", state)
				pass(10 * time.Second)
				w.wantSent("a", want...)
			})
		})
	}
}

// A redrive is one transaction, but its two topics are read apart: where the
// disposition is read first, the followers must not overtake the redriven one.
func TestP3FollowersDoNotOvertakeARedriveThatIsReadLate(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Park: true}, refuse("a1"), func(w *world) {
		stop := w.worker()
		defer stop()
		w.put("a", "a1", "a2")
		pass(10 * time.Second)
		letter := w.letters("a1")[0]
		again := letter.ToRedrive(topics.Redrive("s"), record.Redrive{Job: "rd-1", Count: 1, By: "ana"})
		note, err := disposition.Disposition{State: disposition.Redriven}.Record(letter.At)
		if err != nil {
			t.Fatal(err)
		}
		writer, err := kgo.NewClient(append(slices.Clip(w.opts), kgo.TransactionalID("rd"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := writer.ProduceSync(w.t.Context(), again).FirstErr(); err != nil {
			t.Fatal(err)
		}
		// The transaction is open on the redrive topic, and the disposition is out.
		w.send(note)
		pass(2 * time.Second)
		if err := writer.EndTransaction(w.t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		w.wantSent("a", "a1", "a1", "a2")
	})
}

func TestP3ParkedKeysSurviveRestarts(t *testing.T) {
	t.Parallel()
	for name, decided := range map[string]bool{"decided while nobody works": true, "decided after the restart": false} {
		for _, state := range []disposition.State{disposition.Discarded, disposition.Redriven} {
			t.Run(name+", "+string(state), func(t *testing.T) {
				t.Parallel()
				inWorld(t, Config{Park: true}, refuse("a1"), func(w *world) {
					stop := w.worker()
					w.put("a", "a1", "a2")
					pass(5 * time.Second)
					stop()
					w.put("a", "a3")
					if decided {
						w.decide("a1", state)
					}
					stop = w.worker()
					pass(10 * time.Second)
					if !decided {
						w.wantSent("a", "a1")
						w.decide("a1", state)
						pass(10 * time.Second)
					}
					want := []string{"a1", "a2", "a3"}
					if state == disposition.Redriven {
						want = []string{"a1", "a1", "a2", "a3"}
					}
					w.wantSent("a", want...)
					stop()
					// Nothing that was delivered is sent by the next one.
					stop = w.worker()
					pass(10 * time.Second)
					w.wantSent("a", want...)
					stop()
				})
			})
		}
	}
}

func TestP3ASecondDeadLetterInTheChainHoldsTheRest(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Park: true}, refuse("a1", "a3"), func(w *world) {
		stop := w.worker()
		w.put("a", "a1", "a2", "a3", "a4")
		pass(10 * time.Second)
		w.decide("a1", disposition.Discarded)
		pass(10 * time.Second)
		w.wantSent("a", "a1", "a2", "a3")
		stop()
		stop = w.worker()
		defer stop()
		pass(10 * time.Second)
		w.wantSent("a", "a1", "a2", "a3")
		w.decide("a3", disposition.Redriven)
		pass(10 * time.Second)
		w.wantSent("a", "a1", "a2", "a3", "a3", "a4")
	})
}

func TestP3AReleasedFollowerThatFailsClimbsWithItsKeyBehindIt(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Park: true, MaxSuspect: 20 * time.Second}, func(a *sinks.Attempt, nth int) error {
		switch {
		case a.Event.ID == "a1":
			return refused()
		case a.Event.ID == "a2" && nth == 1:
			return conflict()
		}
		return nil
	}, func(w *world) {
		stop := w.worker()
		defer stop()
		w.put("a", "a1", "a2", "a3")
		pass(time.Minute) // its wait is no failure: it does not age
		w.decide("a1", disposition.Skipped)
		pass(10 * time.Second)
		w.wantSent("a", "a1", "a2")
		pass(2 * time.Minute)
		w.wantSent("a", "a1", "a2", "a2", "a3")
	})
}

func TestWhatLeavesTheDeadLettersIsReleased(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Park: true}, refuse("a1"), func(w *world) {
		stop := w.worker()
		w.put("a", "a1", "a2", "a3")
		pass(10 * time.Second)
		w.decide("a1", disposition.Discarded)
		pass(10 * time.Second)
		stop()
		states := map[string]disposition.State{}
		for _, r := range w.read(topics.Dispositions) {
			if at, d, ok := disposition.Read(r); ok {
				states[at.String()] = d.State
			}
		}
		for _, id := range []string{"a2", "a3"} {
			if at := w.letters(id)[0].At.String(); states[at] != disposition.Released {
				t.Errorf("%s at %s is %q, want released", id, at, states[at])
			}
		}
		if at := w.letters("a1")[0].At.String(); states[at] != disposition.Discarded {
			t.Errorf("the discarded one is %q", states[at])
		}
	})
}

// A sink that ran with on_dead_letter: continue redrove letters that nobody
// followed. Under park they are no obstacles.
func TestLettersThatWereRedrivenBeforeAnybodyParkedBlockNobody(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, refuse("a1"), func(w *world) {
		stop := w.worker()
		w.put("a", "a1", "a2")
		pass(5 * time.Second)
		w.decide("a1", disposition.Redriven)
		pass(5 * time.Second)
		stop()
		w.wantSent("a", "a1", "a2", "a1")
		w.cfg.Park = true
		stop = w.worker()
		defer stop()
		w.put("a", "a3")
		pass(10 * time.Second)
		w.wantSent("a", "a1", "a2", "a1", "a3")
	})
}

func TestShardsStayClosedWhileDispositionsAreUnknown(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Park: true}, refuse("a1"), func(w *world) {
		stop := w.worker()
		w.put("a", "a1", "a2")
		pass(5 * time.Second)
		stop()
		w.decide("a1", disposition.Discarded)
		fault := w.cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: topics.Dispositions, Err: kerr.TopicAuthorizationFailed, Count: -1,
		})
		stop = w.worker()
		defer stop()
		w.put("b", "b1")
		pass(time.Minute)
		w.wantSent("", "a1")
		if fault.Hits() == 0 {
			t.Error("the fault never happened")
		}
		fault.Remove()
		pass(time.Minute)
		if got := w.delivered(); got != 2 {
			t.Errorf("delivered %d, want a2 and b1", got)
		}
	})
}

// TestP11WhatWasDecidedIsForgotten of letters that are gone; of the others all
// is remembered.
func TestP11WhatWasDecidedIsForgotten(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Park: true}, refuse("a1"), func(w *world) {
		worker, stop := w.start()
		defer stop()
		w.put("a", "a1")
		pass(5 * time.Second)
		w.decide("a1", disposition.Discarded)
		pass(5 * time.Second)
		gone := w.letters("a1")[0].At
		var list []*kgo.Record
		for i := range fewDecisions {
			note, err := disposition.Disposition{State: disposition.Discarded, By: "ana", Reason: "INC-1", At: time.Now()}.
				Record(holdfast.Coordinates{Topic: gone.Topic, Partition: gone.Partition, Offset: gone.Offset + 100 + int64(i)})
			if err != nil {
				w.t.Fatal(err)
			}
			note.Partition = 1
			list = append(list, note)
		}
		if err := w.client.ProduceSync(w.t.Context(), list...).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
		pass(5 * time.Second)
		s := worker.sched
		s.mu.Lock()
		defer s.mu.Unlock()
		_, known := s.decided[letterAt{gone.Partition, gone.Offset}]
		if known || len(s.decided) != fewDecisions {
			w.t.Errorf("%d decisions are remembered, the one about a letter that is gone too: %v", len(s.decided), known)
		}
	})
}
