//go:build synctests

package quota

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// sender plays one that would send wish tokens per second, keeps to a
// configured limit, and asks a vendor that names no number.
type sender struct {
	climb
	wish, configured float64
	took             func(now time.Time) bool
	now              time.Time
	sent, no         float64
}

func newSender(wish float64, took func(now time.Time) bool) *sender {
	return &sender{wish: wish, configured: math.Inf(1), took: took, now: time.Unix(1e9, 0)}
}

// run sends for so long, and returns which part was refused, and what was
// taken per second.
func (s *sender) run(d time.Duration) (refused, rate float64) {
	s.sent, s.no = 0, 0
	for end := s.now.Add(d); s.now.Before(end); {
		pace := min(s.wish, s.configured, s.ceiling(s.now))
		s.now = s.now.Add(time.Duration(float64(time.Second) / pace))
		s.sent++
		if s.took(s.now) {
			s.hear(s.now, tally{Took: 1, Tokens: 1}, s.configured)
			continue
		}
		s.no++
		s.hear(s.now, tally{Refused: 1, Tokens: 1}, s.configured)
	}
	return s.no / s.sent, (s.sent - s.no) / d.Seconds()
}

// takes is a vendor that counts.
func takes(r rate.Limit, burst int) func(time.Time) bool {
	l := rate.NewLimiter(r, burst)
	return func(now time.Time) bool { return l.AllowN(now, 1) }
}

// noisy is a vendor that refuses a part of the requests by chance, besides.
func noisy(part float64, seed uint64, took func(time.Time) bool) func(time.Time) bool {
	rng := rand.New(rand.NewPCG(seed, 1))
	return func(now time.Time) bool { return rng.Float64() >= part && took(now) }
}

func always(time.Time) bool { return true }

// TestAClimbFindsALimitThatNobodyTold, in each ten minutes from the second on.
func TestAClimbFindsALimitThatNobodyTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wish, configured float64
		rate             rate.Limit
		burst            int
	}{
		"very fast":          {20_000, math.Inf(1), 5000, 100},
		"fast":               {500, math.Inf(1), 200, 20},
		"slow":               {160, math.Inf(1), 20, 20},
		"one a second":       {160, math.Inf(1), 1, 1},
		"one in two seconds": {160, math.Inf(1), 0.5, 1},
		"configured higher":  {160, 50, 20, 5},
		"a large burst":      {160, math.Inf(1), 20, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(c.wish, takes(c.rate, c.burst))
			s.configured = c.configured
			s.run(10 * time.Minute)
			for range 5 {
				refused, got := s.run(10 * time.Minute)
				used := got / float64(c.rate)
				t.Logf("%.2f %% refused, %.2f of the limit used", 100*refused, used)
				if refused >= 0.01 || used < 0.8 {
					t.Errorf("%.2f %% refused, %.2f of the limit used", 100*refused, used)
				}
			}
		})
	}
}

// TestAClimbFindsAnyLimit: whatever the vendor takes, however much is sent.
// Below one request in two seconds ten minutes are too short: a climb costs two
// refusals, and in 300 requests those are 0.7 %.
func TestAClimbFindsAnyLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := math.Exp(rapid.Float64Range(math.Log(0.5), math.Log(100)).Draw(t, "log rate"))
		burst := rapid.IntRange(1, max(1, int(5*r))).Draw(t, "burst")
		s := newSender(r*rapid.Float64Range(1.3, 30).Draw(t, "wish"), takes(rate.Limit(r), burst))
		s.run(20 * time.Minute)
		refused, got := s.run(20 * time.Minute)
		if used := got / r; refused >= 0.01 || used < 0.8 {
			t.Fatalf("%.2f/s in bursts of %d: %.2f %% refused, %.2f used", r, burst, 100*refused, used)
		}
	})
}

// TestAClimbFollows a vendor that takes less than before, then more.
func TestAClimbFollows(t *testing.T) {
	t.Parallel()
	l := rate.NewLimiter(100, 20)
	s := newSender(500, func(now time.Time) bool { return l.AllowN(now, 1) })
	s.run(10 * time.Minute)
	l.SetLimitAt(s.now, 20)
	s.run(time.Minute)
	if refused, got := s.run(10 * time.Minute); refused >= 0.01 || got < 0.8*20 {
		t.Errorf("a minute after it fell to 20/s: %.2f %% refused, %.1f/s", 100*refused, got)
	}
	l.SetLimitAt(s.now, 100)
	s.run(2 * time.Minute)
	if refused, got := s.run(10 * time.Minute); refused >= 0.01 || got < 0.8*100 {
		t.Errorf("two minutes after it rose to 100/s: %.2f %% refused, %.1f/s", 100*refused, got)
	}
}

// TestRefusalsThatNoRateExplainsCostLittle: a vendor refuses up to one request
// in ten, however few there are.
func TestRefusalsThatNoRateExplainsCostLittle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SampledFrom([]float64{0.005, 1. / 60, 0.04, 0.1}).Draw(t, "part")
		wish := rapid.SampledFrom([]float64{5, 100, 500}).Draw(t, "wish")
		s := newSender(wish, noisy(part, rapid.Uint64().Draw(t, "seed"), always))
		s.run(time.Duration(50_000 / wish * float64(time.Second)))
		if used := s.sent / 50_000; used < 0.8 {
			t.Fatalf("%.3f refused at random: %.2f of what could be sent", part, used)
		}
	})
}

// TestNoiseHidesNoLimit: beside refusals at random those of a limit are seen,
// and when they end, they are not believed in any more.
func TestNoiseHidesNoLimit(t *testing.T) {
	t.Parallel()
	took := noisy(0.04, 1, takes(50, 20))
	s := newSender(500, func(now time.Time) bool { return took(now) })
	s.run(10 * time.Minute)
	if refused, got := s.run(time.Hour); refused > 0.08 || got < 0.8*50 {
		t.Errorf("%.2f %% refused, 4 of them at random, %.1f/s", 100*refused, got)
	}
	took = takes(50, 20)
	s.run(time.Minute)
	if refused, got := s.run(10 * time.Minute); refused >= 0.01 || got < 0.8*50 {
		t.Errorf("without the noise: %.2f %% refused, %.1f/s", 100*refused, got)
	}
}

// TestAVendorThatTakesNothingNamesNoRate: what was sent before comes back with it.
func TestAVendorThatTakesNothingNamesNoRate(t *testing.T) {
	t.Parallel()
	down := false
	s := newSender(100, func(time.Time) bool { return !down })
	s.run(time.Minute)
	down = true
	s.run(10 * time.Minute)
	down = false
	s.run(30 * time.Second)
	if _, got := s.run(time.Minute); got < 80 {
		t.Errorf("%.1f/s half a minute after it was back", got)
	}
}

// TestACeilingIsOfWhatIsSent, even where it lies far above.
func TestACeilingIsOfWhatIsSent(t *testing.T) {
	t.Parallel()
	s := newSender(10, takes(1000, 100))
	s.configured = 1000
	s.run(time.Hour)
	s.took = takes(5, 1)
	s.run(3 * time.Second)
	if got := s.ceiling(s.now); got > 10 {
		t.Errorf("%.1f/s after too many of 10/s were refused", got)
	}
}

// TestRefusalsOfAQuietSinkAreForgotten: they showed nothing about the rate.
func TestRefusalsOfAQuietSinkAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	var c climb
	c.hear(now, tally{Took: 1, Tokens: 1}, math.Inf(1))
	now = now.Add(climbPause)
	c.hear(now, tally{Took: 1, Refused: 3, Tokens: 4}, math.Inf(1))
	if got := c.ceiling(now); got > 4 {
		t.Errorf("%v/s after it", got)
	}
	now = now.Add(6 * time.Hour)
	if got := c.ceiling(now); got < 50 {
		t.Errorf("%v/s six hours later", got)
	}
}

// TestWhatIsToldIsBelievedOnce: who begins knows nothing of the noise, and who has
// measured it knows better than what replicas still repeat.
func TestWhatIsToldIsBelievedOnce(t *testing.T) {
	t.Parallel()
	s := newSender(100, takes(50, 10))
	s.resume(s.now, 0, 0.1)
	if s.noise != 0.1 {
		t.Errorf("noise %v of 0.1 that was told", s.noise)
	}
	s.run(10 * time.Minute)
	measured := s.noise
	s.resume(s.now, 50, 0.1)
	if measured >= 0.05 || s.noise != measured {
		t.Errorf("noise %v, measured %v, and then told 0.1", s.noise, measured)
	}
}

// TestRefusalsUnderWayCountOnce: eight requests that are refused together cut
// once; those that are refused later cut again.
func TestRefusalsUnderWayCountOnce(t *testing.T) {
	t.Parallel()
	s := newSender(100, always)
	s.run(10 * time.Second)
	for range 8 {
		s.hear(s.now, tally{Refused: 1, Tokens: 1}, math.Inf(1))
	}
	once := s.ceiling(s.now)
	if once < 60 || once > 70 {
		t.Errorf("%v/s after 100/s were too much", once)
	}
	s.now = s.now.Add(climbPause)
	s.hear(s.now, tally{Took: 20, Refused: 40, Tokens: 60}, math.Inf(1))
	if again := s.ceiling(s.now); again > 0.75*once {
		t.Errorf("%v/s after another refusal", again)
	}
}

func TestAWindowSpreadsWhatIsLeft(t *testing.T) {
	t.Parallel()
	b := Local(Limit{Rate: 100, Burst: 50})
	now := time.Now()
	b.SetLeft(20, 10*time.Second)
	if got := b.Limit(); got != 2 {
		t.Errorf("%v/s of 20 that are left for 10 s", got)
	}
	b.SetLeft(math.NaN(), time.Second)
	b.SetLeft(-1, time.Second)
	b.SetLeft(1, 0)
	if got := b.Limit(); got != 2 {
		t.Errorf("%v/s after nonsense", got)
	}
	b.look(now.Add(11 * time.Second))
	if b.tokens.share.Rate != 100 {
		t.Errorf("%v/s after the window", b.tokens.share.Rate)
	}
}

// TestTheSmallestCounts: whatever the vendor says, in whatever order, the
// configured limit is never exceeded.
func TestTheSmallestCounts(t *testing.T) {
	t.Parallel()
	b := Local(Limit{Rate: 10, Burst: 5, Reserve: 0.05})
	for _, step := range []struct {
		say  func()
		want rate.Limit
	}{
		{func() { b.SetRate(50) }, 10},
		{func() { b.SetLeft(1000, time.Second) }, 10},
		{func() { b.SetRate(4) }, 4},
		{func() { b.SetLeft(30, 10*time.Second) }, 3},
		{func() { b.SetUsed(95, 100) }, rate.Every(15 * time.Minute)},
		{func() { b.SetUsed(0, 100) }, 3},
		{func() { b.SetLeft(1000, time.Second) }, 4},
		{func() { b.SetRate(rate.Inf) }, 10},
	} {
		step.say()
		if got := b.Limit(); got != step.want {
			t.Errorf("%v/s, want %v", got, step.want)
		}
	}
}

func TestADailyCountIsLookedAtOnlyWithAReserve(t *testing.T) {
	t.Parallel()
	b := Local(Limit{Rate: 10, Burst: 5})
	b.SetUsed(100, 100)
	if got := b.Limit(); got != 10 {
		t.Errorf("%v/s", got)
	}
}

// TestWithoutALimitThereIsACeiling: that is no limit until the vendor refuses.
func TestWithoutALimitThereIsACeiling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := Local(Limit{Rate: rate.Inf, Burst: 8})
		for range 100 {
			if ok, _ := b.take(time.Now(), 1); !ok {
				t.Fatal("refused a token without a limit")
			}
			b.Accepted(1)
		}
		pass(2 * time.Second)
		b.Accepted(1)
		for range 3 {
			b.Refused(1)
		}
		if got := b.Limit(); got == rate.Inf || got < 1 {
			t.Errorf("%v/s after refusals", got)
		}
		if ok, _ := b.Has(time.Now(), 1); ok {
			t.Error("tokens that nobody earned")
		}
	})
}

// TestAPauseIsNoPace: a vendor of 46 requests a second was down for five
// minutes. What little is sent as it comes back, with two refusals among it, is
// not what the limit is cut to: neither by one who was there before, nor by one
// who was told of the limit.
func TestAPauseIsNoPace(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"the granter of before": false, "a new granter": true} {
		s := newSender(1000, takes(46, 10))
		s.run(5 * time.Minute)
		before := s.ceiling(s.now)
		if before < 40 || before > 60 {
			t.Fatalf("%s: the ceiling is %.1f/s at first", name, before)
		}
		if told {
			s.climb = climb{}
			s.resume(s.now, before, 0)
		}
		for range 5 * 60 * 5 { // rounds without an answer
			s.now = s.now.Add(200 * time.Millisecond)
			s.hear(s.now, tally{}, 200)
		}
		for i := range 12 {
			s.now = s.now.Add(100 * time.Millisecond)
			if i == 9 || i == 11 {
				s.hear(s.now, tally{Refused: 1, Tokens: 1}, 200)
				continue
			}
			s.hear(s.now, tally{Took: 1, Tokens: 1}, 200)
		}
		if after := s.ceiling(s.now); after < before/2 {
			t.Errorf("%s: the ceiling fell from %.1f to %.1f/s", name, before, after)
		}
	}
}

// TestAFoundRateIsNotSavedUp: who has little to send beside others that keep the
// vendor at its limit sends a tenth of a second's worth at once, or one request
// where that costs more. What a user configured stays as it is.
func TestAFoundRateIsNotSavedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		atOnce := func(b *Bucket, cost float64) (n int) {
			for range 100 { // a hundred a second, until most is refused
				pass(10 * time.Millisecond)
				b.Accepted(cost)
				b.Limit() // hears it
			}
			for range 3 {
				pass(10 * time.Millisecond)
				b.Refused(cost)
				b.Refused(cost)
				b.Accepted(cost)
			}
			if c := b.Found(); c == rate.Inf || c > rate.Limit(100*cost) {
				t.Fatalf("found %v/s", c)
			}
			b.Limit()
			pass(time.Minute) // to save up
			for ; n < 100; n++ {
				if ok, _ := b.take(time.Now(), cost); !ok {
					break
				}
			}
			return n
		}
		if n := atOnce(Local(Limit{Rate: rate.Inf, Burst: 64}), 1); n < 3 || n > 10 {
			t.Errorf("%d at once of a rate that was found", n)
		}
		if n := atOnce(Local(Limit{Rate: rate.Inf, Burst: 64}), 40); n != 1 {
			t.Errorf("%d at once where each costs 40", n)
		}
		if n := atOnce(Local(Limit{Rate: 1000, Burst: 64}), 1); n != 64 {
			t.Errorf("%d at once of a configured burst of 64", n)
		}
	})
}
