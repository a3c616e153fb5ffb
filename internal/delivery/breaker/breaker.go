// Package breaker decides when a destination is down, and when it may be tried
// again. It is pure: times are passed in, nothing is sent, nothing waits.
//
//	         nearly all fail, or many in a row
//	closed ──────────────────────────────────────────▶ open ◀─┐
//	  ▲                                                  │     │ the probe failed:
//	  │ the probe was answered                 its time  ▼     │ twice the wait
//	  └───────────── ramp: 1, 2, 4 … ◀───────────── half open ─┘
//
// Only failures that an outage of the whole destination would show count
// (5xx, no answer); what the vendor says about one record is an answer.
package breaker

import "time"

// Outcome is what an attempt showed of the destination.
type Outcome int

// The outcomes. Neither is for what shows nothing: throttled, cancelled.
const (
	Answered Outcome = iota
	Systemic
	Neither
)

// State of a breaker; a worse one is greater.
type State int

// The states.
const (
	Closed State = iota
	HalfOpen
	Open
)

// String names the state as metrics do.
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case HalfOpen:
		return "half_open"
	case Open:
		return "open"
	}
	return "unknown"
}

// Config tunes a breaker; what is 0 has the default.
type Config struct {
	Window      time.Duration  // over which the share is taken; 10s
	MinOutcomes int            // that a share needs; 20
	Share       float64        // of failures that opens; 0.9: a vendor that fails half the time is up
	InRow       int            // failures in a row that open; 30
	Quiet       int            // failures in a row that open where nothing was answered for a window; 5
	FirstProbe  time.Duration  // after opening; 1s
	MaxProbe    time.Duration  // to which the wait doubles; 30s
	Jitter      func() float64 // 0 to 1, shortens a wait by up to a fifth; nil for none
}

func (c Config) withDefaults() Config {
	if c.Window <= 0 {
		c.Window = 10 * time.Second
	}
	if c.MinOutcomes <= 0 {
		c.MinOutcomes = 20
	}
	if c.Share <= 0 {
		c.Share = 0.9
	}
	if c.InRow <= 0 {
		c.InRow = 30
	}
	if c.Quiet <= 0 {
		c.Quiet = 5
	}
	if c.FirstProbe <= 0 {
		c.FirstProbe = time.Second
	}
	if c.MaxProbe <= 0 {
		c.MaxProbe = 30 * time.Second
	}
	return c
}

// Breaker watches one destination. It is not safe for concurrent use.
type Breaker struct {
	cfg         Config
	concurrency int

	state   State
	window  window
	inRow   int
	since   time.Time     // of the failures in a row: when the first came
	wait    time.Duration // before the next probe
	probeAt time.Time
	stale   int // attempts begun before the breaker last opened: what they show is of the past
	flying  int
	seats   int // in flight at most, while ramping; 0 at full concurrency
	passed  int // answers since seats last doubled
}

// New returns a closed breaker of a destination with so many slots.
func New(cfg Config, concurrency int) *Breaker {
	cfg = cfg.withDefaults()
	return &Breaker{cfg: cfg, concurrency: max(1, concurrency), window: window{length: cfg.Window}}
}

// State says whether the destination is thought to be up.
func (b *Breaker) State() State { return b.state }

// ProbeAt is when the next probe may go, while open.
func (b *Breaker) ProbeAt() time.Time { return b.probeAt }

// Allow reports whether one more attempt may begin beside inFlight others; else
// when to ask again, 0 for after the next Done.
func (b *Breaker) Allow(now time.Time, inFlight int) (ok bool, wait time.Duration) {
	switch b.state {
	case Closed:
		return b.seats == 0 || inFlight < b.seats, 0
	case Open:
		if d := b.probeAt.Sub(now); d > 0 {
			return false, d
		}
		return true, 0
	case HalfOpen:
	}
	return false, 0 // the probe is under way
}

// Begin notes that an attempt began which Allow allowed. While open it is the probe.
func (b *Breaker) Begin(time.Time) {
	if b.state == Open {
		b.state = HalfOpen
	}
	b.flying++
}

// Done notes how an attempt ended, and reports whether the state changed.
//
// Attempts that began before the breaker opened end after it: they say nothing
// about the destination now, and neither close it nor lengthen its wait.
func (b *Breaker) Done(now time.Time, o Outcome) (changed bool) {
	b.flying--
	if b.state != Closed && b.stale > 0 {
		// The probe began last; a late one that is taken for it costs a probe at most.
		if !(b.state == HalfOpen && b.flying < b.stale) {
			b.stale--
			return false
		}
	}
	switch b.state {
	case Closed:
		return b.count(now, o)
	case HalfOpen:
		b.probed(now, o)
		return true
	case Open:
	}
	return false
}

func (b *Breaker) count(now time.Time, o Outcome) (opened bool) {
	switch o {
	case Neither:
		return false
	case Answered:
		b.inRow = 0
		b.window.add(now, false)
		b.ramp()
		return false
	case Systemic:
		if b.inRow++; b.inRow == 1 {
			b.since = now
		}
		b.window.add(now, true)
	}
	failed, all := b.window.sum(now)
	ramping := b.seats > 0
	byShare := all >= b.cfg.MinOutcomes && float64(failed) >= b.cfg.Share*float64(all)
	quiet := b.inRow >= b.cfg.Quiet && now.Sub(b.since) >= b.cfg.Window
	if !ramping && !byShare && !quiet && b.inRow < b.cfg.InRow {
		return false
	}
	if !ramping {
		b.wait = 0
	}
	b.open(now)
	return true
}

// open waits twice as long as before for the next probe.
func (b *Breaker) open(now time.Time) {
	b.state, b.stale = Open, b.flying
	b.wait = min(max(b.cfg.FirstProbe, 2*b.wait), b.cfg.MaxProbe)
	wait := b.wait
	if b.cfg.Jitter != nil {
		wait -= time.Duration(b.cfg.Jitter() * float64(wait) / 5)
	}
	b.probeAt = now.Add(wait)
	b.seats, b.passed = 0, 0
}

func (b *Breaker) probed(now time.Time, o Outcome) {
	switch o {
	case Answered:
		b.state, b.inRow, b.stale = Closed, 0, 0
		b.window = window{length: b.cfg.Window}
		if b.concurrency > 1 {
			b.seats = 1
		} else {
			b.wait = 0
		}
	case Systemic:
		b.open(now)
	case Neither: // showed nothing: another probe, at once
		b.state, b.probeAt = Open, now
	}
}

// ramp doubles what may be in flight after each full round of answers.
func (b *Breaker) ramp() {
	if b.seats == 0 {
		return
	}
	if b.passed++; b.passed < b.seats {
		return
	}
	b.passed = 0
	if b.seats *= 2; b.seats >= b.concurrency {
		b.seats, b.wait = 0, 0
	}
}
