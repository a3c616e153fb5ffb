package breaker

import (
	"math/rand/v2"
	"testing"
	"time"
)

// vendor fails a share of what it is asked, drawn from a fixed seed.
type vendor struct {
	random *rand.Rand
	share  float64
}

func newVendor(seed uint64, share float64) vendor {
	return vendor{rand.New(rand.NewPCG(seed, 3)), share}
}

func (v vendor) answer() Outcome {
	if v.random.Float64() < v.share {
		return Systemic
	}
	return Answered
}

func TestAFifthOfFailuresNeverOpensADefaultBreakerOfABusySink(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		v := newVendor(seed, 0.2)
		b := New(Config{}, 64)
		for i := range 1000 { // a first window that is full
			one(b, at(time.Duration(i)*time.Millisecond), Answered)
		}
		for i := 1000; i < 11_000; i++ {
			if !one(b, at(time.Duration(i)*time.Millisecond), v.answer()) {
				t.Fatalf("seed %d: open after %d outcomes", seed, i)
			}
		}
	}
}

// TestAFifthOfFailuresHardlyCostsASlowSink: ten outcomes in a window are few,
// so chance opens the breaker now and then. That has to stay cheap.
func TestAFifthOfFailuresHardlyCostsASlowSink(t *testing.T) {
	t.Parallel()
	const seconds = 100_000
	v := newVendor(1, 0.2)
	b := New(Config{}, 64)
	refused := 0
	for i := range seconds {
		if !one(b, at(time.Duration(i)*time.Second), v.answer()) {
			refused++
		}
	}
	if refused > seconds/20 {
		t.Fatalf("held in %d of %d seconds", refused, seconds)
	}
}

// TestAVendorThatFailsAFifthComesBack: the ramp has to pass though no long row
// of answers ever comes.
func TestAVendorThatFailsAFifthComesBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		v := newVendor(seed, 0.2)
		now := at(0)
		b := opened(t, now, 64)
		for b.State() != Closed || b.ramp.on() {
			if now = now.Add(10 * time.Millisecond); now.After(at(5 * time.Minute)) {
				t.Fatalf("seed %d: not back after five minutes", seed)
			}
			var flying []Attempt
			for ok, _ := b.Allow(now); ok && len(flying) < 64; ok, _ = b.Allow(now) {
				flying = append(flying, b.Begin(now))
			}
			for _, a := range flying {
				b.Done(now, a, v.answer())
			}
		}
		if b.hold != time.Second {
			t.Fatalf("seed %d: after the ramp the next hold is %s", seed, b.hold)
		}
	}
}

func TestABusySinkOpensAfterTwentyFailuresInARow(t *testing.T) {
	t.Parallel()
	b := New(Config{}, 64)
	for i := range 5000 {
		one(b, at(time.Duration(i)*time.Millisecond), Answered)
	}
	for i := range 20 {
		if b.State() != Closed {
			t.Fatalf("open after %d failures", i)
		}
		one(b, at(5*time.Second), Systemic)
	}
	if b.State() != Open {
		t.Fatal("twenty failures in a row do not open it")
	}
}

func TestHalfOfTheWindowOpens(t *testing.T) {
	t.Parallel()
	b := New(Config{}, 64)
	outcomes := []Outcome{Systemic, Answered, Systemic, Answered, Systemic, Answered, Systemic, Answered, Answered}
	for i, o := range outcomes {
		if !one(b, at(time.Duration(i)*time.Second), o) {
			t.Fatalf("open after %d outcomes", i)
		}
	}
	one(b, at(9*time.Second), Systemic)
	if b.State() != Open {
		t.Fatal("five of ten do not open it")
	}
}

func TestTheWindowForgets(t *testing.T) {
	t.Parallel()
	w := window{width: time.Second}
	w.add(at(0), true)
	w.add(at(5*time.Second), false)
	w.add(at(2*time.Second), true) // a clock that goes back
	if w.sum != (tally{3, 2}) {
		t.Fatalf("%+v of three outcomes", w.sum)
	}
	w.add(at(10*time.Second), false)
	if w.sum != (tally{3, 1}) {
		t.Fatalf("%+v after the first bucket has gone", w.sum)
	}
	w.add(at(time.Hour), false)
	if w.sum != (tally{1, 0}) {
		t.Fatalf("%+v after an hour", w.sum)
	}
}

func TestAFailureRightAfterTheProbeOpensAgainAndHoldsLonger(t *testing.T) {
	t.Parallel()
	now := at(0)
	b := opened(t, now, 64)
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		if want := now.Add(time.Duration(seconds) * time.Second); !b.ProbeAt().Equal(want) {
			t.Fatalf("probe at %s, want %s", b.ProbeAt(), want)
		}
		now = b.ProbeAt()
		one(b, now, Answered)
		if b.State() != Closed || !b.ProbeAt().IsZero() {
			t.Fatalf("after its probe it is %s, probe at %s", b.State(), b.ProbeAt())
		}
		one(b, now, Systemic)
		if b.State() != Open {
			t.Fatal("the first failure of the ramp does not open it")
		}
	}
}

func TestALateAnswerBringsTheProbeForward(t *testing.T) {
	t.Parallel()
	b := New(Config{}, 64)
	late := []Attempt{b.Begin(at(0)), b.Begin(at(0)), b.Begin(at(0))}
	for range 5 {
		one(b, at(0), Systemic)
	}
	one(b, at(time.Second), Systemic)   // probes, the next hold is 2 s
	one(b, at(3*time.Second), Systemic) // then 4 s
	b.Done(at(3500*time.Millisecond), late[0], Neither)
	if want := at(7 * time.Second); !b.ProbeAt().Equal(want) {
		t.Fatalf("probe at %s, want %s", b.ProbeAt(), want)
	}
	b.Done(at(4*time.Second), late[1], Answered)
	if want := at(5 * time.Second); !b.ProbeAt().Equal(want) {
		t.Fatalf("probe at %s, want %s: somebody answers", b.ProbeAt(), want)
	}
	one(b, at(5*time.Second), Answered)
	if b.Done(at(5*time.Second), late[2], Systemic) || b.State() != Closed {
		t.Fatal("a failure from before the outage undoes the recovery")
	}
}

func TestAnAttemptThatNobodyAllowedIsNotTheProbe(t *testing.T) {
	t.Parallel()
	b := opened(t, at(0), 64)
	early := b.Begin(at(0))
	if b.State() != Open {
		t.Fatalf("%s before the probe time", b.State())
	}
	if b.Done(at(0), early, Answered) || b.State() != Open {
		t.Fatal("it closes without a probe")
	}
}

func TestJitterOnlyLengthensTheHold(t *testing.T) {
	t.Parallel()
	for jitter, want := range map[float64]time.Duration{0: time.Second, 0.5: 1100 * time.Millisecond} {
		b := New(Config{Jitter: func() float64 { return jitter }}, 1)
		for range 5 {
			one(b, at(0), Systemic)
		}
		if !b.ProbeAt().Equal(at(want)) {
			t.Errorf("jitter %g: probe at %s, want %s", jitter, b.ProbeAt(), at(want))
		}
	}
}
