//go:build synctests

package delivery

import (
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"holdfast.internal"
	"holdfast.internal/internal/sinkstate"
	"holdfast.internal/sinks"
)

// wantStanding compares what the worker says of its sink. wait is from now to
// the end of the hold, or to the probe; within a second.
func (w *world) wantStanding(b sinkstate.Breaker, held sinkstate.Hold, tenants int, wait time.Duration) {
	w.t.Helper()
	s := w.running.Standing()
	at := s.Until
	if held == sinkstate.NotHeld {
		at = s.ProbeAt
	}
	off := time.Until(at) - wait
	if s.Sink != "s" || s.Worker == "" || s.Breaker != b || s.Held != held || s.Tenants != tenants || wait > 0 && off.Abs() > time.Second || wait == 0 && !at.IsZero() {
		w.t.Errorf("%+v at %s, want %s, held %q, %d tenants, in %s", s, s.At, b, held, tenants, wait)
	}
}

func unauthorized() error {
	return &holdfast.UnauthorizedError{Failure: holdfast.Failure{Class: holdfast.ClassAuth, Status: 401, Err: errVendor}}
}

func TestSinkResumeTriesRefusedCredentialsAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(_ *sinks.Attempt, nth int) error {
		if nth == 1 {
			return unauthorized()
		}
		return nil
	}, func(w *world) {
		stop := w.worker()
		defer stop()
		pass(time.Second)
		w.wantStanding(sinkstate.Closed, sinkstate.NotHeld, 0, 0)
		w.put("a", "a1")
		pass(5 * time.Second)
		w.wantSent("a", "a1")
		w.wantStanding(sinkstate.Closed, sinkstate.Unauthorized, 0, authPoll-5*time.Second)
		w.running.Resume("ana", "INC-1", false)
		pass(100 * time.Millisecond)
		w.wantSent("a", "a1", "a1")
		w.wantStanding(sinkstate.Closed, sinkstate.NotHeld, 0, 0)
		if a := w.all(); a[1].number != 1 {
			t.Errorf("attempt %d: refused credentials spent one", a[1].number)
		}
	})
}

// P4 beside a burst of refusals: the mapping is held, and a person frees it.
func TestSinkResumeFreesAHeldMapping(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	inWorld(t, Config{DeadLetterBudget: 3, Concurrency: 1}, nil, func(w *world) {
		w.deliver = func(*sinks.Attempt, int) error {
			if !mended.Load() {
				return refused()
			}
			return nil
		}
		stop := w.worker()
		defer stop()
		w.produce(20)
		pass(5 * time.Second)
		if n := len(w.all()); n != 4 {
			t.Fatalf("%d attempts, want three dead letters and the one that found the budget empty", n)
		}
		w.wantStanding(sinkstate.Closed, sinkstate.Mapping, 0, mappingProbe-5*time.Second)
		// Resumed too early, it may spend as much again, and is held again.
		w.running.Resume("ana", "INC-1", false)
		pass(5 * time.Second)
		if n := len(w.all()); n != 8 {
			t.Errorf("%d attempts after the first resume, want 8", n)
		}
		w.wantStanding(sinkstate.Closed, sinkstate.Mapping, 0, mappingProbe-5*time.Second)
		mended.Store(true)
		w.running.Resume("ana", "INC-1", false)
		pass(5 * time.Second)
		if got := w.delivered(); got != 14 {
			t.Errorf("delivered %d of the 14 that are not dead", got)
		}
		w.wantStanding(sinkstate.Closed, sinkstate.NotHeld, 0, 0)
	})
}

// P5: what the vendor asked for, a person does not shorten; nor does one guess
// for the breaker.
func TestSinkResumeLeavesThrottlesAndTheBreakerAlone(t *testing.T) {
	t.Parallel()
	throttle := func(_ *sinks.Attempt, nth int) error {
		if nth == 1 {
			return trouble{kind: account, wait: time.Hour}.verdict()
		}
		return nil
	}
	t.Run("throttled", func(t *testing.T) {
		t.Parallel()
		inWorld(t, Config{}, throttle, func(w *world) {
			defer w.worker()()
			w.put("a", "a1")
			pass(5 * time.Second)
			w.wantStanding(sinkstate.Closed, sinkstate.Throttled, 0, time.Hour-5*time.Second)
			w.running.Resume("ana", "INC-1", false)
			pass(time.Minute)
			w.wantSent("a", "a1")
			pass(time.Hour)
			w.wantSent("a", "a1", "a1")
			w.wantStanding(sinkstate.Closed, sinkstate.NotHeld, 0, 0)
		})
	})
	t.Run("overruled", func(t *testing.T) {
		t.Parallel()
		inWorld(t, Config{}, throttle, func(w *world) {
			defer w.worker()()
			w.put("a", "a1")
			pass(5 * time.Second)
			w.running.Resume("ana", "INC-1", true)
			pass(time.Second)
			w.wantSent("a", "a1", "a1")
			w.wantStanding(sinkstate.Closed, sinkstate.NotHeld, 0, 0)
		})
	})
	t.Run("breaker", func(t *testing.T) {
		t.Parallel()
		inWorld(t, Config{}, func(*sinks.Attempt, int) error { return outage() }, func(w *world) {
			stop := w.worker()
			defer stop()
			w.produce(30)
			pass(3 * time.Minute)
			if s := w.running.Standing(); s.Breaker != sinkstate.Open || s.ProbeAt.IsZero() {
				t.Fatalf("%+v, want an open breaker", s)
			}
			before := len(w.all())
			w.running.Resume("ana", "INC-1", false)
			pass(10 * time.Millisecond)
			if sent := len(w.all()) - before; sent > 1 { // one may have been due
				t.Errorf("%d sent into the outage", sent)
			}
		})
	})
}

// TestP5AWorkerHeedsWhatAnotherWasAskedFor: nothing is sent before the vendor's
// time, and a limit of the configuration counts here too.
func TestP5AWorkerHeedsWhatAnotherWasAskedFor(t *testing.T) {
	t.Parallel()
	for asked, held := range map[time.Duration]time.Duration{-time.Minute: 0, 10 * time.Minute: 10 * time.Minute, 48 * time.Hour: 2 * time.Hour} {
		inWorld(t, Config{MaxHold: 2 * time.Hour}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
			w.heeds = sinkstate.Throttle{Until: w.began.Add(asked)}
			stop := w.worker()
			defer stop()
			w.put("a", "a1")
			pass(held + time.Minute)
			at := w.times("a1")
			if len(at) != 1 || at[0] < held || at[0] > held+2*time.Second {
				t.Errorf("asked for %s, sent after %v, want %s", asked, at, held)
			}
		})
	}
}

// What holds some tenants is told of them, not of the sink.
func TestStandingTellsOfTenants(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{TenantHeader: "tenant"}, nil, func(w *world) {
		w.deliver = func(a *sinks.Attempt, _ int) error {
			if a.Event.Header("tenant") != "good" {
				return trouble{kind: tenanted, wait: time.Hour}.verdict()
			}
			return nil
		}
		stop := w.worker()
		defer stop()
		for _, name := range []string{"good", "bad", "worse"} {
			w.event(name, name, name)
		}
		pass(5 * time.Second)
		w.wantStanding(sinkstate.Closed, sinkstate.Throttled, 2, time.Hour-5*time.Second)
		if !w.isDelivered("good") {
			t.Error("the third tenant's record was not delivered")
		}
	})
}

// A record that cannot be read yet holds up nobody, so nothing else shows that it waits.
func TestARecordThatWaitsForItsSchemaIsTold(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		core, logs := observer.New(zap.WarnLevel)
		w.log = zap.New(core)
		var asked atomic.Int64
		cause := holdfast.Failure{Class: holdfast.ClassSchema, Code: codeUnknownSchema, Err: errVendor}
		w.open = func() error {
			switch n := asked.Add(1); {
			case n <= 10:
				return &holdfast.TransientError{Failure: cause}
			case n <= 20:
				cause.Code = "registry_down"
				return &holdfast.UnavailableError{Failure: cause}
			}
			return nil
		}
		stop := w.worker()
		defer stop()
		want := func(waits sinkstate.Wait, lines int) {
			t.Helper()
			if s := w.running.Standing(); s.Waits != waits || s.Blocked() || s.Plain() != (waits == sinkstate.NoWait) {
				t.Errorf("%+v, want %q", s, waits)
			}
			if n := logs.FilterMessage("waiting to read").Len(); n != lines {
				t.Errorf("%d lines, want %d", n, lines)
			}
		}
		pass(time.Second)
		want(sinkstate.NoWait, 0)
		w.put("a", "a1")
		pass(8 * time.Second)
		want(sinkstate.Schema, 1)
		pass(8 * time.Second)
		want(sinkstate.Registry, 2)
		pass(10 * time.Second)
		want(sinkstate.NoWait, 2)
		w.wantSent("a", "a1")
	})
}

// TestP5AWorkerHeedsWhatAnotherIsAskedFor while it sends: nothing more until the
// time, said twice or not; what is told of itself, or in the seconds after a
// person has lifted it, is nothing new.
func TestP5AWorkerHeedsWhatAnotherIsAskedFor(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 4}, func(*sinks.Attempt, int) error { pass(100 * time.Millisecond); return nil }, func(w *world) {
		core, logs := observer.New(zap.WarnLevel)
		w.log = zap.New(core)
		stop := w.worker()
		defer stop()
		w.produce(2000)
		sentIn := func(d time.Duration) int {
			before := len(w.all())
			pass(d)
			return len(w.all()) - before
		}
		if sentIn(5*time.Second) == 0 {
			t.Fatal("nothing was sent before")
		}
		asked := sinkstate.Throttle{Until: time.Now().Add(10 * time.Second)}
		w.running.Heed(asked, w.running.Standing().Worker)
		if sentIn(time.Second) == 0 {
			t.Error("a worker heeds what it says itself")
		}
		w.running.Heed(asked, "another")
		w.running.Heed(asked, "a third")
		pass(100 * time.Millisecond) // what is in flight
		if n := sentIn(8500 * time.Millisecond); n != 0 {
			t.Errorf("%d requests while another worker was asked for silence", n)
		}
		if n := logs.FilterMessage("held").Len(); n != 1 {
			t.Errorf("%d lines, want one", n)
		}
		if sentIn(time.Second) == 0 {
			t.Error("nothing is sent after the time")
		}
		asked.Until = time.Now().Add(time.Hour)
		w.running.Heed(asked, "another")
		w.running.Resume("ana", "INC-1", true)
		w.running.Heed(asked, "another")
		if sentIn(2*time.Second) == 0 {
			t.Error("what a person has lifted is heeded again, as another worker had not heard of it")
		}
	})
}
