package breaker

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(d time.Duration) time.Time { return time.Unix(1_000_000, 0).Add(d) }

// one makes one attempt at a time and returns whether it was allowed.
func one(b *Breaker, now time.Time, o Outcome) bool {
	ok, _ := b.Allow(now, 0)
	if ok {
		b.Begin(now)
		b.Done(now, o)
	}
	return ok
}

func TestHalfOfAllFailingDoesNotOpenIt(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	b := New(Config{}, 8)
	for i := range 10_000 {
		o := Answered
		if random.IntN(2) == 0 {
			o = Systemic
		}
		if !one(b, at(time.Duration(i)*time.Millisecond), o) {
			t.Fatalf("open after %d outcomes of which half failed", i)
		}
	}
	for i := range 100 {
		if !one(b, at(20*time.Second+time.Duration(i)*time.Millisecond), Systemic) {
			return
		}
	}
	t.Error("a hundred failures in a row do not open it")
}

func TestAQuietSinkOpensToo(t *testing.T) {
	t.Parallel()
	b := New(Config{}, 8)
	for i := range 5 {
		if b.State() != Closed {
			t.Fatalf("open after %d failures", i)
		}
		one(b, at(time.Duration(i)*time.Minute), Systemic)
	}
	if b.State() != Open {
		t.Error("five failures in a row, a minute apart, do not open it")
	}
}

func TestProbesWaitLongerAndOneAnswerCloses(t *testing.T) {
	t.Parallel()
	b := New(Config{}, 8)
	now := at(0)
	for range 30 {
		one(b, now, Systemic)
	}
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		wait *= time.Second
		if ok, d := b.Allow(now, 0); ok || d != wait {
			t.Fatalf("allowed %v, wait %s, want %s", ok, d, wait)
		}
		now = now.Add(wait)
		if ok, _ := b.Allow(now, 0); !ok {
			t.Fatal("no probe at its time")
		}
		b.Begin(now)
		if ok, d := b.Allow(now, 1); ok || d != 0 || b.State() != HalfOpen {
			t.Fatal("a second probe beside the first")
		}
		b.Done(now, Systemic)
	}
	now = now.Add(30 * time.Second)
	one(b, now, Neither)
	if ok, _ := b.Allow(now, 0); !ok {
		t.Fatal("a probe that showed nothing was not freed")
	}
	one(b, now, Answered)
	if b.State() != Closed {
		t.Fatal("an answer does not close it")
	}
	for _, seats := range []int{1, 2, 4} {
		if ok, _ := b.Allow(now, seats-1); !ok {
			t.Fatalf("ramp: %d are not allowed", seats)
		}
		if ok, _ := b.Allow(now, seats); ok {
			t.Fatalf("ramp: more than %d are allowed", seats)
		}
		for range seats {
			b.Begin(now)
			b.Done(now, Answered)
		}
	}
	if ok, _ := b.Allow(now, 7); !ok {
		t.Error("full concurrency is not reached in log2 rounds")
	}
}

func TestAFailureWhileRampingOpensAtOnce(t *testing.T) {
	t.Parallel()
	b := New(Config{}, 8)
	for range 30 {
		one(b, at(0), Systemic)
	}
	one(b, at(time.Second), Answered)
	one(b, at(time.Second), Systemic)
	if ok, wait := b.Allow(at(time.Second), 0); ok || wait != 2*time.Second {
		t.Errorf("allowed %v, wait %s", ok, wait)
	}
}

func TestLateOutcomesNeitherCloseNorLengthen(t *testing.T) {
	t.Parallel()
	b := New(Config{}, 64)
	for range 44 {
		b.Begin(at(0))
	}
	for range 30 {
		b.Done(at(0), Systemic)
	}
	probe := b.ProbeAt()
	for range 14 {
		b.Done(at(0), Answered)
	}
	if b.State() != Open || !b.ProbeAt().Equal(probe) {
		t.Error("answers to what was sent before the outage close it")
	}
}

// TestOneAttemptBetweenProbeTimes plays random traffic.
func TestOneAttemptBetweenProbeTimes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := New(Config{}, rapid.IntRange(1, 64).Draw(t, "slots"))
		now, flying := at(0), 0
		var opened time.Time
		begun := 0
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "pass")))
			if rapid.Bool().Draw(t, "begin") {
				ok, wait := b.Allow(now, flying)
				if wait < 0 {
					t.Fatal("a wait below zero")
				}
				if !ok {
					continue
				}
				if b.State() != Closed {
					if begun++; begun > 1 && b.ProbeAt().Equal(opened) {
						t.Fatal("two attempts for one probe time")
					}
					opened = b.ProbeAt()
				}
				b.Begin(now)
				flying++
			} else if flying > 0 {
				flying--
				b.Done(now, rapid.SampledFrom([]Outcome{Answered, Systemic}).Draw(t, "outcome"))
			}
			if b.State() == Closed {
				begun = 0
			}
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	b := NewBudget(2)
	if !b.Take() || !b.Take() || b.Take() {
		t.Fatal("a budget of two is not two")
	}
	for range 9 {
		b.Deliver()
	}
	if b.Take() {
		t.Fatal("nine deliveries give one back")
	}
	b.Deliver()
	if !b.Take() || b.Take() {
		t.Fatal("ten deliveries give one back")
	}
	b.Refill()
	if !b.Take() || !b.Take() || b.Take() {
		t.Error("refilled, it is not two")
	}
}
