package quota

import (
	"math"
	"time"
)

// Times of a meter.
const (
	// meterMemory is how long use is remembered: e-fold in 2 s.
	meterMemory = 2 * time.Second
	// hungerEnds is when somebody who was refused and does not come back is
	// taken for gone. It is more than the longest wait that is told.
	hungerEnds = 3 * maxWait
	// idleAfter is when a limit that nobody asks for counts as idle.
	idleAfter = 5 * time.Second
	// freshFor is how long a limit that nobody has asked for yet is wanted all
	// the same: who starts has records soon, and others take a moment to make
	// room.
	freshFor = 2 * time.Second
)

// headroom is what is asked for above what was used, so that a steady load is
// not refused for being uneven.
const headroom = 1.15

// starving is the part of the time that asks were refused from which on
// everything is wanted: the load is larger than can be seen.
const starving = 0.7

// meter measures how much of a limit one process could use.
type meter struct {
	asked, refused time.Time // last
	hungry         time.Time // refused since; zero if the last ask was not
	hunger         time.Duration
	starved        bool      // refused with nothing in sight
	used           float64   // tokens since the last sample
	begun, sampled time.Time // the first and the last sample
	rate           float64   // tokens per second, smoothed
	need           float64   // the largest single cost of late
}

func (m *meter) took(now time.Time, n float64) {
	m.ask(now, n)
	m.used += n
	m.feed(now)
}

// refuse reports whether somebody begins to starve: it was told a wait that is
// too long to count on.
func (m *meter) refuse(now time.Time, n float64, long bool) bool {
	m.ask(now, n)
	m.refused = now
	if m.hungry.IsZero() {
		m.hungry = now
	}
	begins := long && !m.starved
	m.starved = m.starved || long
	return begins
}

func (m *meter) ask(now time.Time, n float64) {
	m.asked = now
	m.need = max(m.need, n)
}

func (m *meter) feed(now time.Time) {
	if !m.hungry.IsZero() {
		m.hunger += now.Sub(m.hungry)
		m.hungry = time.Time{}
	}
	m.starved = false
}

func (m *meter) idle(now time.Time) bool {
	if m.asked.IsZero() {
		return !m.fresh(now)
	}
	return now.Sub(m.asked) > idleAfter
}

func (m *meter) fresh(now time.Time) bool { return m.asked.IsZero() && now.Sub(m.begun) < freshFor }

// sample returns what could be used, in tokens per second, all if there is no
// end to it, and the largest single cost.
func (m *meter) sample(now time.Time, all float64) (want, need float64) {
	passed := now.Sub(m.sampled)
	if m.sampled.IsZero() {
		passed = time.Second
		m.begun = now
	}
	if passed <= 0 {
		passed = time.Nanosecond
	}
	starved := m.starved
	if still := !m.hungry.IsZero() && now.Sub(m.refused) <= hungerEnds; still {
		m.feed(now)
		m.hungry, m.starved = now, starved
	} else {
		m.hungry, m.starved, starved = time.Time{}, false, false
	}
	weight := 1 - math.Exp(-passed.Seconds()/meterMemory.Seconds())
	m.rate += weight * (m.used/passed.Seconds() - m.rate)
	hungerShare := min(1, m.hunger.Seconds()/passed.Seconds())
	need = max(m.need, 1)
	// A large record now and then keeps its room for some seconds.
	m.need = max(1, need*math.Exp(-passed.Seconds()/10))
	m.used, m.hunger, m.sampled = 0, 0, now
	switch {
	case m.idle(now):
		m.rate = 0
		return 0, need
	case m.fresh(now):
		return all, need
	case starved, hungerShare >= starving:
		return all, need
	}
	return min(all, headroom*m.rate/(1-hungerShare)), need
}
