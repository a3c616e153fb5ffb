package breaker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestProbesKeepTheirDistance plays random traffic with late outcomes, and
// checks every attempt that is allowed while the breaker is open: not before
// the probe time, alone, and at least a first hold after what failed last.
func TestProbesKeepTheirDistance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		jitter := rapid.Float64Range(0, 0.99).Draw(t, "jitter")
		b := New(Config{Jitter: func() float64 { return jitter }}, rapid.IntRange(1, 64).Draw(t, "slots"))
		outcome := rapid.SampledFrom([]Outcome{Systemic, Systemic, Systemic, Answered, Neither})
		pass := rapid.Int64Range(0, int64(2*time.Second))
		now := at(0)
		var openedAt time.Time
		var flying []Attempt
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(pass.Draw(t, "pass")))
			if rapid.Bool().Draw(t, "begin") {
				before, probeAt := b.State(), b.ProbeAt()
				ok, wait := b.Allow(now)
				if before == Open && !ok && !now.Add(wait).Equal(probeAt) {
					t.Fatalf("wait %s at %s for a probe at %s", wait, now, probeAt)
				}
				if !ok {
					continue
				}
				flying = append(flying, b.Begin(now))
				if before == Closed {
					continue
				}
				if now.Before(probeAt) || now.Sub(openedAt) < time.Second {
					t.Fatalf("probe at %s, opened at %s, due at %s", now, openedAt, probeAt)
				}
				if again, _ := b.Allow(now); again {
					t.Fatal("two probes at once")
				}
				continue
			}
			if len(flying) == 0 {
				continue
			}
			i := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
			a, before := flying[i], b.State()
			flying = append(flying[:i], flying[i+1:]...)
			current := a.term == b.term
			changed := b.Done(now, a, outcome.Draw(t, "outcome"))
			if changed != (b.State() != before) || changed && !current {
				t.Fatalf("changed %t, from %s to %s, attempt of this term %t", changed, before, b.State(), current)
			}
			if changed && b.State() == Open {
				openedAt = now
			}
		}
	})
}

// TestTheRampTakesLogarithmicallyManyRounds for every concurrency.
func TestTheRampTakesLogarithmicallyManyRounds(t *testing.T) {
	t.Parallel()
	for slots := 1; slots <= 300; slots++ {
		b := opened(t, at(0), slots)
		now := b.ProbeAt()
		one(b, now, Answered)
		rounds := 0
		for ; b.ramp.on(); rounds++ {
			var flying []Attempt
			for ok, _ := b.Allow(now); ok; ok, _ = b.Allow(now) {
				flying = append(flying, b.Begin(now))
			}
			if len(flying) != 1<<rounds {
				t.Fatalf("%d slots: %d in flight in round %d", slots, len(flying), rounds)
			}
			for _, a := range flying {
				b.Done(now, a, Answered)
			}
		}
		if low, high := slots>>rounds, 1<<rounds; low > 1 || high < slots || rounds > 1 && high/2 >= slots {
			t.Fatalf("%d slots: full after %d rounds", slots, rounds)
		}
	}
}

// TestBudgetIsTheModel against a fraction that is counted in tenths.
func TestBudgetIsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 50).Draw(t, "size")
		b := NewBudget(size)
		tenths := 10 * size
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				can := tenths >= 10
				if b.Take() != can {
					t.Fatalf("take: %t at %d tenths", !can, tenths)
				}
				if can {
					tenths -= 10
				}
			},
			"deliver": func(*rapid.T) {
				b.Deliver()
				tenths = min(tenths+1, 10*size)
			},
			"refill": func(*rapid.T) {
				b.Refill()
				tenths = 10 * size
			},
			"": func(t *rapid.T) {
				if b.Left() != tenths/10 {
					t.Fatalf("%d left at %d tenths", b.Left(), tenths)
				}
			},
		})
	})
}
