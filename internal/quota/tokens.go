package quota

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// perToken is how finely tokens are counted: [rate.Limiter] counts whole ones,
// shares and costs are not.
const perToken = 1000

// forever is the longest wait that is told.
const forever = 24 * time.Hour

// tokens is a token bucket that starts empty. A change of its share makes no
// tokens: more burst is filled at the rate, less burst spills.
type tokens struct {
	limiter *rate.Limiter
	share   share
	last    time.Time
	ahead   float64 // taken for requests that were not sent yet
}

func newTokens() *tokens { return &tokens{limiter: rate.NewLimiter(0, 0)} }

// fill makes a bucket begin with its burst.
func (t *tokens) fill(s share) {
	if s.Rate >= float64(rate.Inf) {
		return
	}
	t.share = s
	t.limiter = rate.NewLimiter(rate.Limit(s.Rate*perToken), int(s.Burst*perToken+0.01))
}

// later returns now, or the last time seen where that is later:
// [rate.Limiter] counts time twice that goes back.
func (t *tokens) later(now time.Time) time.Time {
	if now.Before(t.last) {
		return t.last
	}
	return now
}

// set changes the share at now.
func (t *tokens) set(now time.Time, s share) {
	now = t.later(now)
	t.last = now
	if s.none() {
		s = share{}
	}
	if s == t.share {
		return
	}
	t.share = s
	t.limiter.SetLimitAt(now, rate.Limit(s.Rate*perToken))
	t.limiter.SetBurstAt(now, int(s.Burst*perToken+0.01)) // what 0.9999999 should be
}

// lower is set for a share that fell at a time nobody knows, after the last
// look at the bucket: what has been earned since counts at the lower rate.
func (t *tokens) lower(now time.Time, s share) {
	t.set(t.last, s)
	t.last = t.later(now)
}

// trim spills what the bucket has earned while tokens lay ready that were taken
// before: with them it may hold its burst and no more, or all could go at once.
func (t *tokens) trim(now time.Time) {
	if t.ahead <= 0 {
		return
	}
	room := max(0, float64(t.limiter.Burst())-t.ahead*perToken)
	if over := int(t.limiter.TokensAt(now) - room); over > 0 {
		t.limiter.AllowN(now, over)
	}
}

// sent ends what take began for a request that was sent later.
func (t *tokens) sent(now time.Time, n float64) {
	now = t.later(now)
	t.last = now
	t.trim(now)
	t.ahead = max(0, t.ahead-n)
}

// take takes n tokens, or says how long they are in coming.
func (t *tokens) take(now time.Time, n float64) (bool, time.Duration) {
	now = t.later(now)
	t.last = now
	t.trim(now)
	if t.limiter.AllowN(now, costOf(n)) {
		return true, 0
	}
	return false, t.lack(now, n)
}

// giveBack puts back n tokens that were taken, as far as the burst has room.
func (t *tokens) giveBack(now time.Time, n float64) {
	now = t.later(now)
	t.last = now
	room := t.limiter.Burst() - int(math.Ceil(t.limiter.TokensAt(now)))
	if back := min(int(n*perToken), room); back > 0 {
		t.limiter.AllowN(now, -back)
	}
}

// has reports whether there are n tokens, and else how long they are in coming.
func (t *tokens) has(now time.Time, n float64) (bool, time.Duration) {
	now = t.later(now)
	t.last = now
	t.trim(now)
	if t.limiter.TokensAt(now) >= float64(costOf(n)) {
		return true, 0
	}
	return false, t.lack(now, n)
}

// full reports whether the tokens are as many as may be, save for a rest that
// arithmetic leaves.
func (t *tokens) full(now time.Time) bool {
	return t.limiter.TokensAt(t.later(now)) >= float64(t.limiter.Burst())-1
}

func (t *tokens) lack(now time.Time, n float64) time.Duration {
	cost := costOf(n)
	if cost > t.limiter.Burst() || t.share.none() {
		return forever
	}
	missing := float64(cost) - t.limiter.TokensAt(now)
	seconds := missing / (t.share.Rate * perToken)
	return time.Duration(min(seconds, forever.Seconds()) * float64(time.Second))
}

func costOf(n float64) int { return int(math.Ceil(n * perToken)) }
