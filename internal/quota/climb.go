package quota

import (
	"math"
	"time"
)

// Shape of a climb, in steps: requests that the vendor took, and seconds.
const (
	climbFast = 100  // to nine tenths of what was too much
	climbSlow = 1000 // to all of it; beyond, ever faster
)

const (
	// climbPause lets the answers come in that were under way at a refusal: they
	// tell nothing new.
	climbPause = time.Second
	// climbMemory is how long use is remembered: e-fold in 2 s.
	climbMemory = 2 * time.Second
	// climbLow is after how many refusals that no rate explains the rate
	// comes back, and climbDeaf for how long it stays.
	climbLow  = 3
	climbDeaf = 5 * time.Minute
	// climbFew is over how many requests the share of refusals is taken.
	climbFew = 50
	// climbLeast is what a first refusal leaves at least, in tokens per second: on a
	// quiet sink use says nothing about the limit.
	climbLeast = 1
)

// climb looks for the rate of a vendor that refuses and says no number:
// additive increase, multiplicative decrease. A refusal halves what is used.
// Most of the rest comes back soon, the last tenth slowly, since the limit is
// likely to be there: one refusal in a thousand requests is what is paid for
// knowing it. Counting requests, not time alone, makes that hold for fast
// vendors and slow ones. Refusals that come just as seldom far below the rate
// that was too much have nothing to do with the rate: it comes back, and they
// are not listened to for a while. The zero value has no ceiling.
type climb struct {
	much  float64 // tokens per second that were too much; 0 for no refusal so far
	cut   time.Time
	taken float64 // since the cut
	no    float64 // refusals since the cut

	low    int       // refusals that no rate explains, less those that one does
	origin float64   // much, at the first of them
	deaf   time.Time // seldom ones are not listened to until then
	noisy  bool      // there was one since the cut
	heard  float64   // taken, when no began to count anew

	used  float64 // tokens, decaying
	last  time.Time
	began time.Time
}

// ceiling is in tokens per second.
func (c *climb) ceiling(now time.Time) float64 {
	if c.much == 0 {
		return math.Inf(1)
	}
	steps := c.taken + max(0, now.Sub(c.cut).Seconds())
	switch {
	case steps < climbFast:
		return c.much * (0.5 + 0.4*steps/climbFast)
	case steps < climbSlow:
		return c.much * (0.9 + 0.1*(steps-climbFast)/(climbSlow-climbFast))
	}
	beyond := (steps - climbSlow) / climbSlow
	return c.much * (1 + beyond*beyond)
}

// accepted notes tokens that the vendor took of all processes together.
func (c *climb) accepted(n float64) {
	if c.much > 0 {
		c.taken += n
	}
}

// refused halves what all use, in tokens per second; before is the ceiling
// that was too high.
func (c *climb) refused(now time.Time, used, before float64) {
	c.no++
	if c.much > 0 && now.Sub(c.cut) < climbPause || c.baseless(now) {
		return
	}
	least := min(climbLeast, before/2)
	c.much, c.cut, c.taken, c.heard, c.no = min(max(used, least), before), now, 0, 0, 0
}

// baseless reports whether the rate does not explain a refusal: it is one of few,
// and the rate is far below what was too much, or was so when the last ones came.
func (c *climb) baseless(now time.Time) bool {
	deaf := now.Before(c.deaf)
	if far := c.much > 0 && c.ceiling(now) < 0.9*c.much; !far && !deaf {
		if !c.noisy {
			c.low = max(0, c.low-1)
		}
		c.noisy = false
		return false
	}
	many := 10*c.no > c.taken-c.heard
	if c.taken-c.heard > climbFew {
		c.heard, c.no = c.taken, 0
	}
	switch {
	case many && c.no > 3:
		c.low, c.deaf = 0, time.Time{}
		return false
	case many, deaf: // too few to tell, or told already
		return true
	}
	if c.low == 0 {
		c.origin = c.much
	}
	c.noisy = true
	if c.low++; c.low == climbLow {
		c.much, c.taken, c.no = max(c.much, c.origin), climbSlow, 0
		c.low, c.heard, c.deaf = 0, climbSlow, now.Add(climbDeaf)
	}
	return true
}

// use notes tokens that this process takes.
func (c *climb) use(now time.Time, n float64) {
	if c.began.IsZero() {
		c.began, c.last = now, now
	}
	c.decay(now)
	c.used += n
}

func (c *climb) decay(now time.Time) {
	if passed := now.Sub(c.last); passed > 0 {
		c.used *= math.Exp(-passed.Seconds() / climbMemory.Seconds())
		c.last = now
	}
}

// rate is what this process uses, in tokens per second.
func (c *climb) rate(now time.Time) float64 {
	c.decay(now)
	seen := max(time.Second, now.Sub(c.began)).Seconds() / climbMemory.Seconds()
	return c.used / climbMemory.Seconds() / (1 - math.Exp(-seen))
}
