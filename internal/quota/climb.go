package quota

import (
	"math"
	"time"
)

const (
	// climbUnit requests after the bottom the ceiling is back at its plateau. Few
	// requests say little, but for ever is too long: so it is after climbIdle.
	climbUnit = 300
	climbIdle = 30 * time.Minute
	// climbDepth is the part of the plateau that is taken off at the bottom, and
	// climbShade how far below the rate that was too much the plateau is.
	climbDepth = 0.3
	climbShade = 0.95
	// climbPause lets the answers come in that were under way at a cut: they
	// tell nothing new. A first cut waits as long, to see what is sent.
	climbPause = time.Second
	// climbBottom is how many requests the bottom lasts, and climbLoud the most
	// that may be refused there for another reason than the rate; less than
	// climbQuiet cannot be seen.
	climbBottom = 60
	climbLoud   = 0.2
	climbQuiet  = 0.001
	// climbRise above twice the noise is a share of refusals that is too much,
	// and climbSure the logarithm of how much likelier that must be than the
	// noise: two refusals within 45 requests are, where there is none.
	climbRise = 0.03
	climbSure = 5.5
	// climbDense is how many requests a second tell anything: more than that
	// weigh as much together, so that answers can keep up with a climb.
	climbDense = 100
)

// climb finds the rate of a vendor that refuses and names no number. Its
// ceiling is that of TCP CUBIC: after a cut 0.7 of a plateau, back there within
// 300 requests, flat around it, for the limit is likely to be near, and faster
// and faster beyond. At the bottom, where the rate is no reason any more, it
// measures which share is refused all the same, the noise; or cuts again if
// that is more than a fifth. From there on it is cut when the share has risen
// above the noise, which Page's test (CUSUM) tells from chance. So refusals
// that no rate explains cost a cut or two and then nothing, and a limit costs
// some two refusals in each climb, 5 in 1,000 requests, however fast the vendor
// is. The next plateau is a little below the rate that was too much, less what
// was refused of it. A vendor that took nothing since the last cut is no matter
// of the rate: nothing is cut. The zero value has no ceiling.
type climb struct {
	plateau float64   // tokens per second; 0 for no ceiling
	cut     time.Time // the last one, or when counting began
	counts  tally     // since then
	bottom  bool      // the noise is being measured
	noise   float64   // share of the requests, as the last bottom showed it
	doubt   float64   // that what is refused is noise
	flow    flow
}

// ceiling is in tokens per second.
func (c *climb) ceiling(now time.Time) float64 {
	if c.plateau == 0 {
		return math.Inf(1)
	}
	return c.plateau * (1 + climbDepth*math.Pow(c.way(now)-1, 3))
}

// way is how far the climb has come: 1 is the plateau.
func (c *climb) way(now time.Time) float64 {
	return max(0, c.counts.Took-climbBottom)/climbUnit + max(0, now.Sub(c.cut).Seconds())/climbIdle.Seconds()
}

// resume begins with what another knew: the plateau that was told last, and the
// noise.
func (c *climb) resume(now time.Time, ceiling, noise float64) {
	if c.cut.IsZero() {
		c.noise = noise
	}
	if c.plateau == 0 && ceiling > 0 {
		*c = climb{plateau: ceiling, cut: now, counts: tally{Took: climbBottom + climbUnit}, noise: c.noise, flow: c.flow}
		c.flow.resume(now, pace{requests: ceiling, tokens: ceiling}) // or what little is sent at first were taken for it
	}
}

// hear takes in what the vendor answered since the last time, all who share
// the limit together. limit is what they keep to otherwise, in tokens per second.
func (c *climb) hear(now time.Time, t tally, limit float64) {
	c.flow.add(now, t)
	if c.cut.IsZero() {
		c.cut = now
	}
	if now.Sub(c.cut) < climbPause {
		return
	}
	t = t.times(min(1, climbDense/c.flow.pace().requests))
	c.counts = c.counts.plus(t)
	if c.tooMuch(now, t) && c.counts.Took > 0 {
		*c = climb{plateau: c.next(now, limit), cut: now, bottom: true, noise: c.noise, flow: c.flow}
	}
}

// tooMuch reports whether the rate has to fall for what was heard.
func (c *climb) tooMuch(now time.Time, t tally) bool {
	if !c.bottom {
		if c.plateau > 0 && c.way(now) < 1 { // the rate is no reason yet; at the bottom it was perhaps somebody else's
			c.noise = min(c.noise, c.counts.shareAtMost())
		}
		return c.doubts(t)
	}
	share := c.counts.share()
	c.bottom = share > climbLoud || c.counts.requests() < climbBottom
	if !c.bottom {
		c.noise = share
	}
	return c.bottom && c.counts.requests() >= climbBottom
}

// next is the plateau after a cut.
func (c *climb) next(now time.Time, limit float64) float64 {
	high := min(limit, c.ceiling(now))
	if sent := c.flow.pace().tokens; sent < high/2 { // the ceiling was not what kept it
		high = sent
	}
	high *= max(0.8, 1-c.counts.share())
	if c.plateau > 0 && c.way(now) > 1 { // the limit is between both
		return min(climbShade*high, (c.plateau+high)/2)
	}
	return climbShade * high
}

// doubts weighs whether more is refused than the noise.
func (c *climb) doubts(t tally) bool {
	if t.Refused == 0 && c.doubt == 0 { // as with nearly every answer, which need not be weighed
		return false
	}
	noise := max(climbQuiet, c.noise)
	more := 2*noise + climbRise
	c.doubt = max(0, c.doubt+t.Refused*math.Log(more/noise)+t.Took*math.Log((1-more)/(1-noise)))
	return c.doubt >= climbSure
}
