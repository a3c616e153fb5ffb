package quota

import (
	"math"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// take takes tokens for a request that is sent at once.
func (b *Bucket) take(now time.Time, n float64) (ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.takeNow(now, n)
}

// TestTokensAreNotMade: whatever is done to a bucket, and in whatever order its
// callers looked at the clock, it gives no more than was earned.
func TestTokensAreNotMade(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b, now := newTokens(), time.Unix(1e9, 0)
		earned, seen := 0.0, now // what there is at the latest time that the bucket was told
		var have share
		taken := 0.0
		tell := func(at time.Time) {
			if at.After(seen) {
				earned = min(have.Burst, earned+have.Rate*at.Sub(seen).Seconds())
				seen = at
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			},
			"share": func(t *rapid.T) {
				s := share{Rate: rapid.Float64Range(0, 50).Draw(t, "rate"), Burst: rapid.Float64Range(0, 20).Draw(t, "burst")}
				b.set(now, s)
				tell(now)
				if have = s; have.none() {
					have = share{}
				}
				earned = min(earned, have.Burst)
			},
			"take": func(t *rapid.T) {
				n := rapid.Float64Range(0.1, 5).Draw(t, "n")
				at := now.Add(-time.Duration(rapid.IntRange(0, 50).Draw(t, "stale ms")) * time.Millisecond)
				ok, wait := b.take(at, n)
				tell(at)
				switch {
				case ok:
					earned -= n
					taken += n
				case wait < 0:
					t.Fatalf("refused, and to come back in %v", wait)
				}
				if earned < -0.02 { // perToken
					t.Fatalf("%.3f tokens more than there were", -earned)
				}
			},
			"give back": func(t *rapid.T) {
				n := rapid.Float64Range(0, taken).Draw(t, "n")
				b.giveBack(now, n)
				tell(now)
				taken -= n
				earned = min(have.Burst, earned+n)
			},
		})
	})
}

// TestWhatIsGivenBackWasTaken: a bucket that gets back what was not used is as if
// it had not been taken, and never more.
func TestWhatIsGivenBackWasTaken(t *testing.T) {
	t.Parallel()
	now := time.Now().Add(time.Hour)
	b := Full(Limit{Rate: 1, Burst: 3})
	take := func(n float64) bool {
		ok, _ := b.take(now, n)
		return ok
	}
	if !take(3) || take(1) {
		t.Fatal("a full bucket holds its burst, and no more")
	}
	b.Return(now, 1)
	if !take(1) || take(1) {
		t.Error("one was given back, and one should be there")
	}
	now = now.Add(2 * time.Second)
	b.Return(now, 3)
	if !take(3) || take(1) {
		t.Error("what was given back is more than the burst, or not there")
	}
}

func TestTakeSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := Local(Limit{Rate: 10, Burst: 5})
	if ok, _ := b.take(now, 1); ok {
		t.Fatal("a bucket starts empty")
	}
	sent := 0
	end := now.Add(10 * time.Second)
	for now.Before(end) {
		ok, wait := b.take(now, 1)
		if ok {
			sent++
			continue
		}
		if wait <= 0 || wait > maxWait {
			t.Fatalf("told to wait %v", wait)
		}
		now = now.Add(wait)
	}
	if sent < 98 || sent > 100 {
		t.Errorf("sent %d in 10 s at 10/s", sent)
	}
}

func TestCostsAboveTheBurstCountAsTheBurst(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := Local(Limit{Rate: 10, Burst: 5})
	b.take(now, 1)
	if ok, _ := b.take(now.Add(400*time.Millisecond), 50); ok {
		t.Error("sent for 4 of 5 tokens")
	}
	if ok, _ := b.take(now.Add(500*time.Millisecond), 50); !ok {
		t.Error("refused with a full burst")
	}
}

func TestNoLimit(t *testing.T) {
	t.Parallel()
	b := Local(Limit{Rate: rate.Inf})
	if ok, _ := b.take(time.Now(), 1e9); !ok || b.Limit() != rate.Inf {
		t.Errorf("refused without a limit, %v", b.Limit())
	}
	b.SetRate(5)
	if ok, _ := b.take(time.Now(), 1); ok || b.Limit() != 5 {
		t.Errorf("a vendor's limit is not kept: %v", b.Limit())
	}
	b.SetRate(rate.Inf)
	if ok, _ := b.take(time.Now(), 1e9); !ok {
		t.Error("refused after the vendor took it back")
	}
}

func TestSetRate(t *testing.T) {
	t.Parallel()
	b := Local(Limit{Rate: 10, Burst: 5})
	for _, c := range []struct{ set, want rate.Limit }{{4, 4}, {20, 10}, {0, 0}, {rate.Inf, 10}, {-1, 0}} {
		b.SetRate(c.set)
		if got := b.Limit(); got != c.want {
			t.Errorf("after SetRate(%v): %v, want %v", c.set, got, c.want)
		}
	}
}

// TestAShareEnds on either clock: the monotonic one stands still while a
// machine sleeps.
func TestAShareEnds(t *testing.T) {
	t.Parallel()
	asked := time.Now()
	l := lease{asked: asked, term: Term}
	if !l.live(asked.Add(Term - 1)) {
		t.Error("ended early")
	}
	if l.live(asked.Add(Term)) {
		t.Error("lives after its term")
	}
	if l.live(asked.Round(0).Add(time.Hour)) { // no monotonic reading
		t.Error("lives after an hour of sleep")
	}
	if (lease{term: Term}).live(asked) {
		t.Error("a share that was never asked for lives")
	}
}

// TestAStoppedProcessHasNoShare: the clock is asked when a token is taken.
func TestAStoppedProcessHasNoShare(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBucket(Limit{Rate: 100, Burst: 10})
	b.grant(now.Add(-time.Second), "g", 1, grant{Share: share{Rate: 100, Burst: 10}}, lease{asked: now.Add(-time.Second), term: Term})
	if ok, _ := b.take(now, 1); !ok {
		t.Fatal("no token of a live share")
	}
	if ok, _ := b.take(now.Add(Term), 1); ok {
		t.Error("a token of a share that has ended")
	}
	b.grant(now.Add(2*Term), "g", 2, grant{Share: share{Rate: 100, Burst: 10}}, lease{asked: now.Add(2 * Term), term: Term})
	if ok, _ := b.take(now.Add(2*Term), 1); ok {
		t.Error("the tokens of an ended share came back with the next one")
	}
}

// TestAFallingStaticShare counts from the last look: the moment is not known.
func TestAFallingStaticShare(t *testing.T) {
	t.Parallel()
	now := time.Now()
	fraction := 1.0
	b := newBucket(Limit{Rate: 100, Burst: 100})
	b.shares = append(b.shares, func() float64 { return fraction })
	b.fallBack(now, b.part(), lease{asked: now, term: Term})
	b.take(now, 1)
	fraction = 0.1 // at once; the bucket is looked at a second later
	sent := 0
	for ok := true; ok; sent++ {
		ok, _ = b.take(now.Add(time.Second), 1)
	}
	if sent-1 > 10 {
		t.Errorf("%d tokens of a second at 10/s", sent-1)
	}
}

// TestMeter: what is asked for follows what is used, and is everything as soon
// as nobody can see how much that is.
func TestMeter(t *testing.T) {
	t.Parallel()
	const all = 1000
	start := time.Now()
	for name, c := range map[string]struct {
		play      func(m *meter, at time.Time)
		low, high float64
	}{
		"nothing":               {func(*meter, time.Time) {}, 0, 0},
		"5 per second":          {func(m *meter, at time.Time) { m.took(at, 1) }, 5, 7},
		"refused all the time":  {func(m *meter, at time.Time) { m.refuse(at, 1, false) }, all, all},
		"nothing in sight":      {func(m *meter, at time.Time) { m.took(at, 1); m.refuse(at, 1, true) }, all, all},
		"refused half the time": {func(m *meter, at time.Time) { m.refuse(at.Add(-100*time.Millisecond), 1, false); m.took(at, 1) }, 10, 14},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m meter
			var want float64
			for at := range 40 {
				now := start.Add(time.Duration(at) * 200 * time.Millisecond)
				c.play(&m, now)
				want, _ = m.sample(now, all)
			}
			if want < c.low || want > c.high {
				t.Errorf("wants %.2f, not between %v and %v", want, c.low, c.high)
			}
		})
	}
}

// TestWhoGivesUpWantsNothing: a refused waiter whose partition went away.
func TestWhoGivesUpWantsNothing(t *testing.T) {
	t.Parallel()
	var m meter
	now := time.Now()
	m.refuse(now, 1, true)
	if want, _ := m.sample(now.Add(time.Second), 10); want != 0 {
		t.Errorf("wants %v after it gave up", want)
	}
}

func TestNeedFadesSlowly(t *testing.T) {
	t.Parallel()
	var m meter
	now := time.Now()
	m.took(now, 50)
	var need float64
	for i := range 5 {
		_, need = m.sample(now.Add(time.Duration(i)*time.Second), 10)
	}
	if need < 30 {
		t.Errorf("a record of 50 is forgotten after 4 s: %v", need)
	}
	for i := range 60 {
		_, need = m.sample(now.Add(time.Duration(5+i)*time.Second), 10)
	}
	if math.Abs(need-1) > 1e-9 {
		t.Errorf("a record of 50 is remembered after a minute: %v", need)
	}
}

// TestAShareThatGrowsIsTold, and one that is only renewed, or falls, is not.
func TestAShareThatGrowsIsTold(t *testing.T) {
	t.Parallel()
	now, told := time.Unix(1e9, 0), 0
	b := newBucket(Limit{Name: "l", Rate: 100, Burst: 10})
	b.OnGrowth(func() { told++ })
	for i, c := range []struct {
		rate float64
		told int
	}{{0, 0}, {10, 1}, {10, 1}, {5, 1}, {20, 2}} {
		b.grant(now, "g", uint64(i+1), grant{Share: share{c.rate, 1}}, lease{asked: now, term: Term})
		if told != c.told {
			t.Errorf("%v/s: told %d times, want %d", c.rate, told, c.told)
		}
		now = now.Add(100 * time.Millisecond)
	}
	now = now.Add(Term)
	b.grant(now, "g", 9, grant{Share: share{20, 1}}, lease{asked: now, term: Term})
	if told != 3 {
		t.Errorf("told %d times, after the share had ended", told)
	}
}

// TestWhatIsAheadIsPartOfTheBurst: what was taken for requests that are not sent
// yet, and what is there, are never more than the burst together.
func TestWhatIsAheadIsPartOfTheBurst(t *testing.T) {
	t.Parallel()
	start := time.Now().Add(time.Hour)
	// takes is how many tokens a bucket gives at once, at most.
	takes := func(b *Bucket, now time.Time) (n int) {
		for {
			if ok, _ := b.take(now, 1); !ok {
				return n
			}
			n++
		}
	}
	ahead := func(t *testing.T, b *Bucket, n float64) {
		t.Helper()
		if ok, _ := b.TakeAhead(start, n); !ok {
			t.Fatalf("no %v tokens", n)
		}
	}
	for name, tt := range map[string]struct {
		limit Limit
		do    func(t *testing.T, b *Bucket)
		want  int
	}{
		"what is earned meanwhile": {Limit{Rate: 10, Burst: 5}, func(t *testing.T, b *Bucket) { ahead(t, b, 3) }, 2},
		"all of it":                {Limit{Rate: 10, Burst: 5}, func(t *testing.T, b *Bucket) { ahead(t, b, 5) }, 0},
		"sent": {Limit{Rate: 10, Burst: 5}, func(t *testing.T, b *Bucket) {
			ahead(t, b, 3)
			b.Sent(start, 3)
		}, 5},
		"sent late": {Limit{Rate: 10, Burst: 5}, func(t *testing.T, b *Bucket) {
			ahead(t, b, 3)
			b.Sent(start.Add(time.Minute), 3)
		}, 2},
		"half of it": {Limit{Rate: 10, Burst: 5}, func(t *testing.T, b *Bucket) {
			ahead(t, b, 4)
			b.Sent(start, 2)
		}, 3},
		"a cost above the burst": {Limit{Rate: 10, Burst: 5}, func(t *testing.T, b *Bucket) {
			ahead(t, b, 50)
			b.Sent(start, 48)
		}, 3},
		"without a limit, until the vendor names one": {Limit{Rate: rate.Inf, Burst: 5}, func(t *testing.T, b *Bucket) {
			ahead(t, b, 3)
			b.SetRate(10)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := Full(tt.limit)
			tt.do(t, b)
			if got := takes(b, start.Add(time.Minute)); got != tt.want {
				t.Errorf("gave %d at once, want %d", got, tt.want)
			}
		})
	}
}

// TestALargerShareIsNotGivenUpWhileItIsOnItsWay: who was granted less says so
// when what was taken by the larger share is sent.
func TestALargerShareIsNotGivenUpWhileItIsOnItsWay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBucket(Limit{Name: "l", Rate: 100, Burst: 20})
	granted := func(round uint64, s share, at time.Time) {
		b.grant(at, "g", round, grant{To: "me", Share: s}, lease{asked: at, term: time.Hour})
	}
	granted(1, share{Rate: 100, Burst: 20}, now)
	now = now.Add(time.Second)
	if ok, _ := b.TakeAhead(now, 19); !ok {
		t.Fatal("no tokens")
	}
	if w := b.want(now, false); w.Ack != 1 {
		t.Fatalf("says that it runs on round %d, want 1", w.Ack)
	}
	granted(2, share{Rate: 50, Burst: 10}, now)
	if w := b.want(now, false); w.Ack != 1 {
		t.Errorf("says that it runs on round %d, and 19 of 10 are on their way", w.Ack)
	}
	b.Sent(now, 9)
	if !b.presses() {
		t.Error("does not say so soon that the larger share is free")
	}
	if w := b.want(now, false); w.Ack != 2 {
		t.Errorf("says that it runs on round %d, want 2", w.Ack)
	}
	b.grant(now, "h", 1, grant{To: "me", Share: share{Rate: 5, Burst: 1}}, lease{asked: now, term: time.Hour})
	if w := b.want(now, false); w.By != "h" || w.Ack != 0 {
		t.Errorf("says that it runs on round %d of %s, which is too small for what is on its way", w.Ack, w.By)
	}
}
