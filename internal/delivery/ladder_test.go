//go:build synctests

package delivery

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

var errVendor = errors.New("vendor says no")

// conflict is a failure of the record itself: it always spends an attempt.
func conflict() error { return holdfast.Transient(holdfast.ClassConflict, errVendor) }

func outage() error {
	return &holdfast.TransientError{Failure: holdfast.Failure{Class: holdfast.ClassVendor5xx, Status: 503, Err: errVendor}}
}

// TestARedriveBeginsAnew: long after it died a letter has all its tiers again,
// and none of what the destination did then counts against it.
func TestARedriveBeginsAnew(t *testing.T) {
	t.Parallel()
	fail := func(_ *sinks.Attempt, nth int) error {
		switch {
		case nth == 1:
			return &holdfast.PermanentError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 422, Err: errVendor}}
		case nth <= 4: // an outage, then a failure of its own
			return outage()
		case nth == 5:
			return conflict()
		}
		return nil
	}
	inWorld(t, Config{MaxSuspect: 5 * time.Minute}, fail, func(w *world) {
		stop := w.worker()
		defer stop()
		w.produce(1)
		pass(10 * time.Minute)
		letters := w.read(topics.DeadLetters("s"))
		if len(letters) != 1 {
			t.Fatalf("%d dead letters", len(letters))
		}
		w.send(record.Read(letters[0], record.FromHoldfast).ToRedrive(topics.Redrive("s"), record.Redrive{Job: "rd-1", Count: 1, By: "ana"}))
		pass(time.Hour)
		if n := w.delivered(); n != 1 || len(w.read(topics.DeadLetters("s"))) != 1 {
			t.Errorf("%d delivered, %d dead letters; tried at %v", n, len(w.read(topics.DeadLetters("s"))), w.times("0"))
		}
	})
}

// TestWhatSpendsIsNoSuspect: attempts that are left are made, however long ago
// the first one failed.
func TestWhatSpendsIsNoSuspect(t *testing.T) {
	t.Parallel()
	fail := func(_ *sinks.Attempt, nth int) error {
		if nth <= 3 {
			return conflict()
		}
		return nil
	}
	inWorld(t, Config{MaxSuspect: time.Minute}, fail, func(w *world) {
		stop := w.worker()
		defer stop()
		w.produce(1)
		pass(10 * time.Minute)
		if n := w.delivered(); n != 1 {
			t.Errorf("%d delivered; tried at %v", n, w.times("0"))
		}
	})
}

func TestP1TheLadderIsClimbedOnTime(t *testing.T) {
	t.Parallel()
	fail := func(_ *sinks.Attempt, nth int) error {
		if nth <= 3 {
			return conflict()
		}
		return nil
	}
	inWorld(t, Config{}, fail, func(w *world) {
		stop := w.worker()
		defer stop()
		w.produce(30)
		time.Sleep(12 * time.Minute) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != 30 {
			t.Fatalf("delivered %d of 30", got)
		}
		for i := range 30 {
			at := w.times(strconv.Itoa(i))
			if len(at) != 4 {
				t.Fatalf("event %d had %d attempts", i, len(at))
			}
			for n, delay := range w.cfg.Tiers {
				gap := at[n+1] - at[n]
				if gap < delay || gap > delay+time.Second {
					t.Errorf("event %d: %s between attempts %d and %d, want %s to 1s more", i, gap, n+1, n+2, delay)
				}
			}
		}
		if dead := w.read(topics.DeadLetters("s")); len(dead) != 0 {
			t.Errorf("%d dead letters", len(dead))
		}
	})
}

func TestP8WhatNeverWorksIsDeadAndTheNextUnharmed(t *testing.T) {
	t.Parallel()
	fail := func(a *sinks.Attempt, _ int) error {
		switch a.Event.ID {
		case "refused":
			return &holdfast.PermanentError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 402, Code: "card_declined", Err: errVendor}}
		case "panics":
			panic("secret payload")
		}
		return nil
	}
	inWorld(t, Config{}, fail, func(w *world) {
		stop := w.worker()
		defer stop()
		send := func(id string, payload []byte) {
			w.send(&kgo.Record{Topic: source, Key: []byte("k"), Value: payload, Headers: []kgo.RecordHeader{
				{Key: "ce_id", Value: []byte(id)},
				{Key: "traceparent", Value: []byte("00-x")},
				{Key: record.HeaderAttempt, Value: []byte("3")},
				{Key: record.HeaderDue, Value: []byte("9999999999999")}, // forged
			}})
		}
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		send("garbage", []byte("\x01garbage"))
		send("tombstone", nil)
		send("refused", []byte{0, 1})
		send("panics", []byte{0, 2})
		send("good", []byte{0, 3})
		time.Sleep(time.Second) //nolint:forbidigo // virtual time
		if !w.isDelivered("good") {
			t.Error("the good record behind them was not delivered within a second")
		}
		codes := map[string]string{}
		for _, r := range w.read(topics.DeadLetters("s")) {
			e := record.Read(r, record.FromHoldfast)
			codes[e.Event.ID] = e.Failure.Code
			if e.Event.Header("traceparent") == "" || e.Fingerprint == "" || e.FirstFailed.IsZero() {
				t.Errorf("%s: headers are missing", e.Event.ID)
			}
			if e.Spent > 1 {
				t.Errorf("%s: a forged attempt count was believed: %d", e.Event.ID, e.Spent)
			}
		}
		for id, code := range map[string]string{"garbage": "undecodable", "tombstone": "tombstone", "refused": "card_declined", "panics": "panic"} {
			if codes[id] != code {
				t.Errorf("%s is dead with code %q, want %q", id, codes[id], code)
			}
		}
	})
}

func TestP4AnOutageLongerThanAllTiersSpendsNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, nil, func(w *world) {
		w.deliver = func(*sinks.Attempt, int) error {
			if time.Since(w.began) < time.Hour {
				return outage()
			}
			return nil
		}
		stop := w.worker()
		defer stop()
		w.produce(12)
		time.Sleep(70 * time.Minute) //nolint:forbidigo // virtual time
		if dead := w.read(topics.DeadLetters("s")); len(dead) != 0 {
			t.Errorf("%d dead letters for an outage", len(dead))
		}
		if got := w.delivered(); got != 12 {
			t.Errorf("delivered %d of 12 after the outage", got)
		}
		for _, a := range w.all() {
			if a.number != 1 {
				t.Errorf("event %s: attempt %d was spent in an outage", a.id, a.number)
			}
		}
	})
}

func TestP4ARecordThatAloneFailsStillClimbs(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(a *sinks.Attempt, _ int) error {
		if a.Event.ID == "bad" {
			return outage()
		}
		return nil
	}, func(w *world) {
		stop := w.worker()
		defer stop()
		w.send(&kgo.Record{Topic: source, Key: []byte("b"), Value: []byte{0}, Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("bad")}}})
		for i := range 40 {
			w.send(&kgo.Record{Topic: source, Key: []byte("a"), Value: []byte{0}, Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(strconv.Itoa(i))}}})
			time.Sleep(30 * time.Second) //nolint:forbidigo // virtual time
		}
		if dead := w.read(topics.DeadLetters("s")); len(dead) != 1 {
			t.Fatalf("%d dead letters, want the bad record", len(dead))
		}
		if got := w.delivered(); got != 40 {
			t.Errorf("delivered %d of 40 others", got)
		}
	})
}

func TestP5ThrottlingHoldsTheSinkAndSpendsNothing(t *testing.T) {
	t.Parallel()
	const wait = 90 * time.Second
	inWorld(t, Config{}, func(a *sinks.Attempt, nth int) error {
		if a.Event.ID == "0" && nth == 1 {
			return &holdfast.ThrottledError{Failure: holdfast.Failure{Class: holdfast.ClassRateLimited, Status: 429, Err: errVendor}, Wait: wait, Scope: holdfast.ScopeAccount}
		}
		return nil
	}, func(w *world) {
		stop := w.worker()
		defer stop()
		w.produce(1)
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		for i := 1; i < 9; i++ {
			w.send(&kgo.Record{Topic: source, Key: []byte(strconv.Itoa(i)), Value: []byte{0}, Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(strconv.Itoa(i))}}})
		}
		time.Sleep(3 * time.Minute) //nolint:forbidigo // virtual time
		held := w.times("0")[0] + wait
		for _, a := range w.all()[1:] {
			if a.at < held {
				t.Errorf("event %s was sent %s before the hold ended", a.id, held-a.at)
			}
			if a.number != 1 {
				t.Errorf("event %s: a throttle spent an attempt", a.id)
			}
		}
		if got := w.delivered(); got != 9 {
			t.Errorf("delivered %d of 9", got)
		}
	})
}

func TestP3OneKeyOneInFlightAndInOrder(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 16}, nil, func(w *world) {
		flying := map[string]int{}
		w.deliver = func(a *sinks.Attempt, _ int) error {
			w.mu.Lock()
			flying[string(a.Event.Key)]++
			if flying[string(a.Event.Key)] > 1 {
				t.Error("two records of one key in flight")
			}
			w.mu.Unlock()
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // virtual time
			w.mu.Lock()
			flying[string(a.Event.Key)]--
			w.mu.Unlock()
			return nil
		}
		stop := w.worker()
		defer stop()
		w.produceKeys(300, 3)
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		last := map[int]int{}
		for _, a := range w.all() {
			i, _ := strconv.Atoi(a.id)
			if i < last[i%3] {
				t.Fatalf("event %d came after %d", i, last[i%3])
			}
			last[i%3] = i
		}
		if got := w.delivered(); got != 300 {
			t.Errorf("delivered %d of 300", got)
		}
	})
}

func TestP2RestartsKeepTheKeyAndLoseNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(_ *sinks.Attempt, nth int) error {
		if nth <= 2 {
			return conflict()
		}
		return nil
	}, func(w *world) {
		w.produce(30)
		for range 8 {
			stop := w.worker()
			time.Sleep(25 * time.Second) //nolint:forbidigo // virtual time
			stop()
		}
		stop := w.worker()
		defer stop()
		time.Sleep(8 * time.Minute) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != 30 {
			t.Errorf("delivered %d of 30", got)
		}
		keys := map[string]string{}
		for _, a := range w.all() {
			if k, ok := keys[a.id]; ok && k != a.key {
				t.Errorf("event %s was sent under two keys", a.id)
			}
			keys[a.id] = a.key
		}
		if extra := len(w.all()) - 90; extra != 0 {
			t.Errorf("%d attempts more than 3 per event, though every stop was orderly", extra)
		}
	})
}

func TestP1BrokerFaultsOnTheHandOffLoseNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]kfake.Fault{
		"not leader on a tier":             {Keys: []kmsg.Key{kmsg.Produce}, Topic: "retry.s.1m", Err: kerr.NotLeaderForPartition, Count: 10},
		"too few replicas on a tier":       {Keys: []kmsg.Key{kmsg.Produce}, Topic: "retry.s.1m", Err: kerr.NotEnoughReplicas, Count: 10},
		"written but reported as an error": {Keys: []kmsg.Key{kmsg.Produce}, Topic: "retry.s.1m", Err: kerr.NotEnoughReplicasAfterAppend, Count: 5},
		"not authorized on a tier":         {Keys: []kmsg.Key{kmsg.Produce}, Topic: "retry.s.1m", Err: kerr.TopicAuthorizationFailed, Count: 5},
		"commit: not the coordinator":      {Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator, Count: 10},
		"commit: rebalance in progress":    {Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: 5},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, Config{}, func(_ *sinks.Attempt, nth int) error {
				if nth == 1 {
					return conflict()
				}
				return nil
			}, func(w *world) {
				hits := w.cluster.Fault(fault)
				stop := w.worker()
				defer stop()
				w.produce(30)
				time.Sleep(10 * time.Minute) //nolint:forbidigo // virtual time
				if hits.Hits() == 0 {
					t.Error("the fault never happened")
				}
				if got := w.delivered(); got != 30 {
					t.Errorf("delivered %d of 30", got)
				}
				if dead := w.read(topics.DeadLetters("s")); len(dead) != 0 {
					t.Errorf("%d dead letters", len(dead))
				}
			})
		})
	}
}

func TestAHeldSinkStopsAtOnceAndLetsGoOfItsPartitions(t *testing.T) {
	t.Parallel()
	held := func(a *sinks.Attempt, nth int) error {
		if nth == 1 && a.Event.ID == "0" {
			return &holdfast.ThrottledError{Failure: holdfast.Failure{Class: holdfast.ClassRateLimited, Status: 429, Err: errVendor}, Wait: time.Hour, Scope: holdfast.ScopeAccount}
		}
		return nil
	}
	inWorld(t, Config{}, held, func(w *world) {
		stop := w.worker()
		w.produce(9)
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual time
		before := len(w.all())
		began := time.Now()
		stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a held worker took %s to stop", took)
		}
		// Another worker knows nothing of the hold and delivers what the first gave back.
		stop = w.worker()
		defer stop()
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != 9 {
			t.Errorf("delivered %d of 9", got)
		}
		time.Sleep(2 * time.Hour) //nolint:forbidigo // virtual time
		if got := len(w.all()); got > before+9 {
			t.Errorf("%d attempts: the first worker went on after it had stopped", got)
		}
	})
}

func TestP1TwoWorkersComeAndGo(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(_ *sinks.Attempt, nth int) error {
		if nth == 1 {
			return conflict()
		}
		return nil
	}, func(w *world) {
		first := w.worker()
		w.produce(60)
		time.Sleep(20 * time.Second) //nolint:forbidigo // virtual time
		second := w.worker()
		time.Sleep(30 * time.Second) //nolint:forbidigo // virtual time
		first()
		time.Sleep(10 * time.Minute) //nolint:forbidigo // virtual time
		second()
		if got := w.delivered(); got != 60 {
			t.Errorf("delivered %d of 60", got)
		}
		if extra := len(w.all()) - 120; extra != 0 {
			t.Errorf("%d attempts more than 2 per event, though nobody was killed", extra)
		}
	})
}
