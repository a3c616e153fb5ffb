package breaker

import (
	"testing"
	"time"
)

func at(d time.Duration) time.Time { return time.Unix(1_000_000, 0).Add(d) }

// one makes one attempt and reports whether it was allowed.
func one(b *Breaker, now time.Time, o Outcome) bool {
	ok, _ := b.Allow(now)
	if ok {
		b.Done(now, b.Begin(now), o)
	}
	return ok
}

// opened returns a breaker that failures opened at the given time.
func opened(t *testing.T, now time.Time, concurrency int) *Breaker {
	t.Helper()
	b := New(Config{}, concurrency)
	for range 5 {
		one(b, now, Systemic)
	}
	if b.State() != Open {
		t.Fatal("five failures do not open it")
	}
	return b
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
	now := at(0)
	b := opened(t, now, 8)
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		wait := time.Duration(seconds) * time.Second
		if ok, d := b.Allow(now); ok || d != wait {
			t.Fatalf("allowed %v, wait %s, want %s", ok, d, wait)
		}
		now = now.Add(wait)
		probe := b.Begin(now)
		if ok, d := b.Allow(now); ok || d != 0 || b.State() != HalfOpen {
			t.Fatal("a second probe beside the first")
		}
		b.Done(now, probe, Systemic)
	}
	now = now.Add(30 * time.Second)
	one(b, now, Neither)
	if ok, _ := b.Allow(now); !ok {
		t.Fatal("a probe that showed nothing was not freed")
	}
	one(b, now, Answered)
	for _, seats := range []int{1, 2, 4} {
		flying := make([]Attempt, 0, seats)
		for range seats {
			if ok, _ := b.Allow(now); !ok {
				t.Fatalf("ramp: %d are not allowed", seats)
			}
			flying = append(flying, b.Begin(now))
		}
		if ok, _ := b.Allow(now); ok {
			t.Fatalf("ramp: more than %d are allowed", seats)
		}
		for _, a := range flying {
			b.Done(now, a, Answered)
		}
	}
	for range 8 {
		if ok, _ := b.Allow(now); !ok {
			t.Fatal("full concurrency is not reached in log2 rounds")
		}
		b.Begin(now)
	}
}

func TestLateOutcomesNeitherCloseNorLengthen(t *testing.T) {
	t.Parallel()
	b := New(Config{}, 64)
	old := make([]Attempt, 0, 20)
	for range 20 {
		old = append(old, b.Begin(at(0)))
	}
	for range 5 {
		one(b, at(0), Systemic)
	}
	probe := b.ProbeAt()
	for _, a := range old[:10] {
		b.Done(at(0), a, Answered)
	}
	for _, a := range old[10:] {
		b.Done(at(0), a, Systemic)
	}
	if b.State() != Open || b.ProbeAt().After(probe) {
		t.Error("what was sent before the outage changes it")
	}
}
