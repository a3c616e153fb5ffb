//go:build synctests

package quota

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// climbing plays a sender that would send wish tokens per second against a
// vendor that takes so much and says no number, and returns which part of the
// requests of the last ten minutes of an hour was refused, and which part of
// the vendor's rate was used.
func climbing(t *testing.T, wish, configured float64, vendor *rate.Limiter) (refused, used float64) {
	t.Helper()
	now := time.Unix(1e9, 0)
	end, from := now.Add(time.Hour), now.Add(50*time.Minute)
	vendor.AllowN(now, 0)
	var c climb
	var sent, no int
	for now.Before(end) {
		pace := min(wish, configured, c.ceiling(now))
		if pace > configured {
			t.Fatalf("%v/s of a limit of %v/s", pace, configured)
		}
		now = now.Add(time.Duration(float64(time.Second) / pace))
		if now.After(from) {
			sent++
		}
		c.use(now, 1)
		if vendor.AllowN(now, 1) {
			c.accepted(1)
			continue
		}
		if now.After(from) {
			no++
		}
		c.refused(now, min(pace, c.rate(now)), min(configured, c.ceiling(now)))
	}
	return float64(no) / float64(sent), float64(sent-no) / (float64(vendor.Limit()) * end.Sub(from).Seconds())
}

func TestAClimbFindsALimitThatNobodyTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wish, configured float64
		vendor           *rate.Limiter
	}{
		"fast":               {500, math.Inf(1), rate.NewLimiter(200, 20)},
		"slow":               {160, math.Inf(1), rate.NewLimiter(20, 20)},
		"one a second":       {160, math.Inf(1), rate.NewLimiter(1, 1)},
		"one in two seconds": {160, math.Inf(1), rate.NewLimiter(0.5, 1)},
		"configured higher":  {160, 50, rate.NewLimiter(20, 5)},
		"a large burst":      {160, math.Inf(1), rate.NewLimiter(20, 500)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused, used := climbing(t, c.wish, c.configured, c.vendor)
			t.Logf("%.2f %% refused, %.2f of the limit used", 100*refused, used)
			most := 0.01
			if c.vendor.Limit() <= 1 { // it takes a few refusals to tell, and requests are few
				most = 0.02
			}
			if refused >= most || used < 0.8 {
				t.Errorf("%.2f %% refused, %.2f of the limit used", 100*refused, used)
			}
		})
	}
}

// TestRefusalsThatNoRateExplainsCostLittle: a vendor refuses one request in so
// many, however few there are.
func TestRefusalsThatNoRateExplainsCostLittle(t *testing.T) {
	t.Parallel()
	for _, oneIn := range []int{200, 60, 25, 10} {
		t.Run(strconv.Itoa(oneIn), func(t *testing.T) {
			t.Parallel()
			noise(t, oneIn)
		})
	}
}

func noise(t *testing.T, oneIn int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1e9, 0)
	end := now.Add(30 * time.Minute)
	var c climb
	sent := 0.0
	const wish = 100
	for now.Before(end) {
		pace := min(wish, c.ceiling(now))
		now = now.Add(time.Duration(float64(time.Second) / pace))
		sent++
		c.use(now, 1)
		if rng.IntN(oneIn) > 0 {
			c.accepted(1)
			continue
		}
		c.refused(now, min(pace, c.rate(now)), c.ceiling(now))
	}
	used := sent / (30 * 60 * wish)
	t.Logf("%.2f of what could be sent", used)
	if used < 0.75 {
		t.Errorf("%.2f of what could be sent", used)
	}
}

// TestRefusalsOfAQuietSinkAreForgotten: they showed nothing about the rate.
func TestRefusalsOfAQuietSinkAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	var c climb
	c.use(now, 1)
	for range climbFew {
		c.refused(now, c.rate(now), math.Inf(1))
	}
	if got := c.ceiling(now); got < climbLeast/2. || got > climbLeast {
		t.Errorf("%v/s after it", got)
	}
	now = now.Add(6 * time.Hour)
	if got := c.ceiling(now); got < 100 {
		t.Errorf("%v/s six hours later", got)
	}
}

// TestRefusalsUnderWayCountOnce: eight requests that are refused together halve
// the use once; those that are refused later lower it again.
func TestRefusalsUnderWayCountOnce(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	var c climb
	for range 1000 {
		now = now.Add(10 * time.Millisecond)
		c.use(now, 1)
	}
	for range 8 {
		c.refused(now, c.rate(now), math.Inf(1))
	}
	once := c.ceiling(now)
	if once < 45 || once > 55 {
		t.Errorf("%v/s after 100/s were too much", once)
	}
	now = now.Add(2 * time.Second)
	for range climbFew {
		c.refused(now, c.ceiling(now), c.ceiling(now))
	}
	if again := c.ceiling(now); again > 0.75*once {
		t.Errorf("%v/s after another refusal", again)
	}
}

// TestAReplicaHalvesTheWhole: one that has a tenth of the limit sees a tenth of
// its use; and what another has said a moment ago is not said again.
func TestAReplicaHalvesTheWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(*testing.T) {
		b := newBucket(Limit{Rate: 200, Burst: 20})
		b.grant(time.Now(), "g", 1, share{Rate: 20, Burst: 2}, lease{asked: time.Now(), term: time.Hour})
		for range 100 {
			pass(100 * time.Millisecond)
			b.Take(time.Now(), 1)
		}
		for range climbFew {
			b.Refused()
		}
		if got := b.want(time.Now()).Total.Rate; got < 45 || got > 60 {
			t.Errorf("%v/s after ten replicas of 10/s each were refused", got)
		}
		pass(2 * time.Second)
		b.agree(share{Rate: 30, Burst: 20})
		before := b.want(time.Now()).Total
		for range climbFew {
			b.Refused()
		}
		if got := b.want(time.Now()).Total; got != before {
			t.Errorf("%v after another had halved it already, %v before", got, before)
		}
	})
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
	b := Local(Limit{Rate: rate.Inf, Burst: 8})
	for range 100 {
		if ok, _ := b.Take(time.Now(), 1); !ok {
			t.Fatal("refused a token without a limit")
		}
	}
	b.Accepted(100)
	for range climbFew {
		b.Refused()
	}
	if got := b.Limit(); got == rate.Inf || got < 1 {
		t.Errorf("%v/s after a refusal", got)
	}
	if ok, _ := b.Has(time.Now(), 1); ok {
		t.Error("tokens that nobody earned")
	}
}
