package delivery

import (
	"time"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/sinkstate"
)

// finding is what one attempt showed.
type finding struct {
	outcome   breaker.Outcome
	delivered bool
	refused   bool      // by the vendor: it counts against the dead-letter budget
	endpoint  *endpoint // that a throttle is about alone; nil for none
	previous  time.Time // when the record was attempted before
}

// ruling is what follows from a finding beyond the record itself.
type ruling struct {
	others  bool // the destination, or that endpoint, answered somebody else since the record's previous attempt
	breaker bool // the tenant's breaker changed, to state
	state   breaker.State
	probed  bool // the breaker was half open: this was its probe
	held    bool // the mapping is held: no dead letter
	began   bool // just now
	freed   bool // the mapping was held, and is not any more
}

// judge frees the slot of a task, notes what its attempt showed, and settles
// what was delivered.
func (s *scheduler) judge(t *task, f finding, now time.Time) ruling {
	s.mu.Lock()
	defer s.mu.Unlock()
	tn, id := t.tenant, t.env.Event.ID
	r := ruling{others: tn.evidence.since(f.previous, id)}
	if f.endpoint != nil {
		r.others = f.endpoint.evidence.since(f.previous, id)
	}
	r.probed = tn.breaker != nil && tn.breaker.State() == breaker.HalfOpen
	if r.breaker = s.land(t, f.outcome, now); r.breaker {
		r.state = tn.breaker.State()
	}
	if f.outcome == breaker.Answered {
		tn.evidence.answered(id, now)
	}
	switch {
	case f.delivered:
		r.freed = s.letters.delivered()
		s.hold.streak, tn.hold.streak = 0, 0
	case f.refused:
		var ok bool
		ok, r.began = s.letters.refused(now)
		r.held = !ok
	case !t.rider:
		s.letters.undecided(now)
	}
	if r.freed || r.breaker {
		s.work.Broadcast()
	}
	if f.delivered {
		s.settle(t)
	}
	return r
}

// free frees the slot of a task that was not attempted.
func (s *scheduler) free(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.land(t, breaker.Neither, time.Now())
	s.letters.undecided(time.Now())
}

// land frees the slot and reports whether the breaker of the tenant changed.
func (s *scheduler) land(t *task, o breaker.Outcome, now time.Time) (changed bool) {
	t.gate.done() // if it did not come to a call
	if t.rider {  // the one that had the slot speaks for the request
		return false
	}
	t.tenant.flying--
	s.flying--
	if b := t.tenant.breaker; b != nil {
		changed = b.Done(now, t.attempt, o)
	}
	if len(s.turns) > 0 {
		s.work.Signal()
	}
	return changed
}

// holdScope keeps an endpoint, a tenant or the whole sink from being sent to. It
// reports for how long, and whether people are to be told.
func (s *scheduler) holdScope(scope holdfast.Scope, t *task, wait time.Duration, why sinkstate.Hold) (held time.Duration, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, limit, brief := &s.hold, s.limit, float64(briefBackoff)
	switch e := t.gate.endpoint(scope); {
	case e != nil:
		h, limit, brief = &e.hold, e.limit, endpointBackoff
	case scope == holdfast.ScopeTenant && s.cfg.tenanted():
		h, limit = &t.tenant.hold, t.tenant.limit
	}
	if wait <= 0 {
		wait = h.backoff(limit.Found(), brief)
	}
	now := time.Now()
	tell = h.extend(now, now.Add(wait), why)
	s.alarmAt(h.until)
	s.serve(now)
	return wait, tell
}

// freeSince returns the later of t and the end of the last hold: lateness
// counts from there.
func (s *scheduler) freeSince(t *task) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := t.at
	for _, end := range []time.Time{s.hold.until, t.tenant.hold.until} {
		if end.After(at) {
			at = end
		}
	}
	return at
}
