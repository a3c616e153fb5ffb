package breaker

import "time"

// State is where a breaker stands.
type State int

// The states, as metrics and the status call them.
const (
	Closed State = iota
	HalfOpen
	Open
)

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

// Outcome is what an attempt says about its destination.
type Outcome int

const (
	// Neither says nothing: throttled, cancelled. It frees a probe.
	Neither Outcome = iota
	// Answered is success, or a refusal of the record itself.
	Answered
	// Systemic is a failure of the destination: no connection, time-out, 5xx.
	Systemic
)

// Config says when to open and when to probe. Zero fields take the default.
type Config struct {
	Window      time.Duration // over which the share is counted; 10 s
	MinOutcomes int           // that the window needs for a share; 10
	Share       float64       // of systemic outcomes that opens; 0.5
	InRow       int           // systemic ones that open where there are fewer; 5
	FirstProbe  time.Duration // from opening to the first probe; 1 s
	MaxProbe    time.Duration // the hold doubles with each failed probe up to this; 30 s
	// Jitter returns a number in [0, 1): so much of a fifth of the hold is
	// added, so that replicas do not probe together. nil adds nothing.
	Jitter func() float64
}

func (c Config) withDefaults() Config {
	c.Window = orDefault(c.Window, 10*time.Second)
	c.MinOutcomes = orDefault(c.MinOutcomes, 10)
	c.Share = orDefault(c.Share, 0.5)
	c.InRow = orDefault(c.InRow, 5)
	c.FirstProbe = orDefault(c.FirstProbe, time.Second)
	c.MaxProbe = max(orDefault(c.MaxProbe, 30*time.Second), c.FirstProbe)
	if c.Jitter == nil {
		c.Jitter = func() float64 { return 0 }
	}
	return c
}

func orDefault[T int | float64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Breaker guards one destination: a sink, or a tenant of one. It is not safe
// for concurrent use.
type Breaker struct {
	cfg         Config
	concurrency int

	state   State
	term    uint64 // rises with each opening, from 1
	running int    // attempts of this term
	window  window
	row     int // systemic outcomes since the last answer
	ramp    ramp
	hold    time.Duration // of the next opening
	probeAt time.Time
}

// Attempt is an attempt that has begun. The zero Attempt is one that nobody
// allowed: its outcome is treated like a late one.
type Attempt struct{ term uint64 }

// New returns a closed breaker of a sink that has so many attempts in flight
// at most.
func New(cfg Config, concurrency int) *Breaker {
	cfg = cfg.withDefaults()
	return &Breaker{
		cfg:         cfg,
		concurrency: concurrency,
		term:        1,
		window:      window{width: cfg.Window / buckets},
		hold:        cfg.FirstProbe,
	}
}

// Allow reports whether an attempt may begin now. If not, wait is how long
// until it is worth asking again, 0 if that is after the next Done.
func (b *Breaker) Allow(now time.Time) (ok bool, wait time.Duration) {
	switch b.state {
	case Open:
		wait = max(0, b.probeAt.Sub(now))
		return wait == 0, wait
	case HalfOpen:
		return b.running == 0, 0
	case Closed:
	}
	return !b.ramp.on() || b.running < b.ramp.limit, 0
}

// Begin starts an attempt that was allowed at the same time; the first one
// after the probe time is the probe. Done has to follow with what it returns.
func (b *Breaker) Begin(now time.Time) Attempt {
	if ok, _ := b.Allow(now); !ok {
		return Attempt{}
	}
	if b.state == Open {
		b.state = HalfOpen
	}
	b.running++
	return Attempt{term: b.term}
}

// Done ends an attempt, once, and reports whether the state changed.
func (b *Breaker) Done(now time.Time, a Attempt, o Outcome) (changed bool) {
	if a.term != b.term {
		b.late(now, o)
		return false
	}
	b.running--
	before := b.state
	switch o {
	case Answered:
		b.answered(now)
	case Systemic:
		b.failed(now)
	case Neither:
	}
	return b.state != before
}

// State returns the state. It is open until the probe begins, not until it may.
func (b *Breaker) State() State { return b.state }

// ProbeAt returns when the probe may begin, or might have if it has begun; the
// zero time while closed.
func (b *Breaker) ProbeAt() time.Time { return b.probeAt }

func (b *Breaker) answered(now time.Time) {
	b.row = 0
	if b.state == HalfOpen {
		b.state = Closed
		b.probeAt = time.Time{}
		b.ramp = ramp{limit: 1, tally: tally{all: 1}}
		return
	}
	b.window.add(now, false)
	if b.ramp.on() && b.ramp.answered(b.concurrency) {
		b.ramp = ramp{}
		b.hold = b.cfg.FirstProbe
	}
}

func (b *Breaker) failed(now time.Time) {
	if b.state == HalfOpen {
		b.open(now)
		return
	}
	b.row++
	b.window.add(now, true)
	b.ramp.failed()
	if b.broken() {
		b.open(now)
	}
}

// broken reports whether the outcomes say that the destination is down.
func (b *Breaker) broken() bool {
	switch {
	case b.ramp.on():
		return b.row >= b.cfg.InRow || b.ramp.share() >= b.cfg.Share
	case b.window.sum.all < b.cfg.MinOutcomes:
		return b.row >= b.cfg.InRow
	}
	return b.window.sum.share() >= b.cfg.Share || b.row >= 2*b.cfg.MinOutcomes
}

func (b *Breaker) open(now time.Time) {
	b.state = Open
	b.term++
	b.running, b.row = 0, 0
	b.window.clear()
	b.ramp = ramp{}
	b.probeAt = now.Add(b.hold + time.Duration(b.cfg.Jitter()*float64(b.hold)/5))
	b.hold = min(2*b.hold, b.cfg.MaxProbe)
}

// late judges an attempt of an earlier term; see the package comment.
func (b *Breaker) late(now time.Time, o Outcome) {
	if o != Answered || b.state != Open {
		return
	}
	if soon := now.Add(b.cfg.FirstProbe); soon.Before(b.probeAt) {
		b.probeAt = soon
	}
}
