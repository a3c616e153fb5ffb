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
	// climbShare of the last requests, and climbFew of them at least, must have
	// been refused before anything is cut, and climbWindow is how many requests
	// that is taken over: fewer refusals than a limit costs are none.
	climbShare  = 0.02
	climbFew    = 3
	climbWindow = 256
	// climbTold is how many requests, and climbLong how much time, tell at what
	// rate they were taken, and not only that a burst was.
	climbTold = 20
	climbLong = 5 * time.Second
	// climbFall is the most that one cut takes of the rate that was too much
	// before: what is used may be low for other reasons.
	climbFall = 0.7
	// climbDeaf is for how long refusals that no rate explains are not listened to.
	climbDeaf = 5 * time.Minute
	// climbNoise is the part of the requests that must be taken meanwhile.
	climbNoise = 0.8
	// climbLeast is what a first cut leaves at least, in tokens per second: on a
	// quiet sink use says nothing about the limit.
	climbLeast = 1
)

// climb looks for the rate of a vendor that refuses and says no number:
// additive increase, multiplicative decrease. When more than a few requests
// are refused, what is used is halved. Most of the rest comes back soon, the
// last tenth slowly, since the limit is likely to be there: a few refusals in
// a thousand requests are what is paid for knowing it. Counting requests, not
// time alone, makes that hold for fast vendors and slow ones. A vendor that
// refuses below a rate which it took a moment ago has other reasons than the
// rate: it comes back, and such refusals are not listened to for a while. The
// zero value has no ceiling.
type climb struct {
	much  float64 // tokens per second that were too much; 0 for no refusal so far
	cut   time.Time
	steps float64 // taken since the cut

	took float64 // since much changed

	yes, no float64 // of the last requests

	origin float64   // what was too much at first, in a row of cuts without a climb between them
	safe   float64   // tokens per second that the vendor took between two of them
	deaf   time.Time // refusals are not listened to until then, unless they are many

	used  float64 // tokens, decaying
	last  time.Time
	began time.Time
}

// ceiling is in tokens per second.
func (c *climb) ceiling(now time.Time) float64 {
	if c.much == 0 {
		return math.Inf(1)
	}
	steps := c.climbed(now)
	switch {
	case steps < climbFast:
		return c.much * (0.5 + 0.4*steps/climbFast)
	case steps < climbSlow:
		return c.much * (0.9 + 0.1*(steps-climbFast)/(climbSlow-climbFast))
	}
	beyond := (steps - climbSlow) / climbSlow
	return c.much * (1 + beyond*beyond)
}

func (c *climb) climbed(now time.Time) float64 { return c.steps + max(0, now.Sub(c.cut).Seconds()) }

// accepted notes tokens that the vendor took of all processes together.
func (c *climb) accepted(n float64) {
	c.steps += n
	c.took += n
	c.yes += n
	c.forget()
}

func (c *climb) forget() {
	if c.yes+c.no > climbWindow {
		c.yes, c.no = c.yes/2, c.no/2
	}
}

// refused halves what all use, in tokens per second, if enough was refused;
// before is the ceiling that was too high.
func (c *climb) refused(now time.Time, used, before float64) {
	if c.much > 0 && now.Sub(c.cut) < climbPause {
		return
	}
	c.no++
	part := c.yes / (c.yes + c.no)
	c.forget()
	switch {
	case c.no < climbFew, c.no < climbShare*(c.yes+c.no):
		return
	case now.Before(c.deaf) && part > climbNoise:
		return
	}
	switch again := c.much > 0 && c.climbed(now) < climbSlow; {
	case !again:
		c.origin, c.safe = min(max(used, c.much), before), 0
	case c.took >= climbTold && now.Sub(c.cut) >= climbLong:
		c.safe = max(c.safe, c.took/now.Sub(c.cut).Seconds())
	}
	if baseless := before < climbFall*c.safe; baseless {
		c.much, c.cut, c.steps, c.deaf = c.origin, now, climbSlow, now.Add(climbDeaf)
	} else {
		least := min(climbLeast, before/2)
		c.much, c.cut, c.steps = min(max(used, least, climbFall*c.much), before), now, 0
	}
	c.took, c.yes, c.no = 0, 0, 0
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
