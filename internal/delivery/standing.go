package delivery

import (
	"time"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/sinkstate"
)

// shortHold is not worth telling: such holds end before anybody has read of them.
const shortHold = 2 * time.Second

// Standing says how the sink stands, as far as this worker knows.
func (w *Worker) Standing() sinkstate.State {
	s := w.sched.standing(time.Now())
	s.Sink, s.Worker = w.cfg.Sink, w.name
	return s
}

// Resume frees a held mapping and lifts holds for refused credentials: what
// waits for them is tried at once. Holds that a vendor asked for stay unless
// throttled is set; the breaker stays, as it finds out by itself. by and reason
// go to the log.
func (w *Worker) Resume(by, reason string, throttled bool) {
	freed := w.sched.resume(time.Now(), throttled)
	w.log.Info("resumed", zap.Bool("was_held", freed), zap.Bool("throttled", throttled), zap.String("by", by), zap.String("reason", reason))
}

// Heed keeps the sink, or an endpoint of it, from being sent to for as long as
// its vendor has asked another worker to, or this one before it was started
// again; told says which.
func (w *Worker) Heed(t sinkstate.Throttle, told string) {
	if told == w.name {
		return
	}
	now := time.Now()
	longest := now.Add(w.cfg.MaxHold)
	if held := w.sched.heed(now, t, longest); held > 0 {
		w.log.Warn("held", zap.String("scope", string(holdfast.ScopeAccount)), zap.Duration("for", held), zap.String("told", told))
	}
}

// afterResume is how long what others were told is not heeded after a person
// has lifted it: they may have said it before they heard of that.
const afterResume = 5 * time.Second

// heed holds what a throttle is about until the longest time at most. It reports
// for how long the whole sink if that is news.
func (s *scheduler) heed(now time.Time, t sinkstate.Throttle, longest time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.deaf) {
		return 0
	}
	until := func(at time.Time) time.Time {
		if at.After(longest) {
			return longest
		}
		return at
	}
	if t.Endpoint != "" && !s.cfg.tenanted() { // else nobody knows whose
		s.endpointOf(s.tenantOf(""), t.Endpoint).hold.extend(now, until(t.FreeAt), sinkstate.Throttled)
	}
	if !t.Until.After(now) || !s.hold.extend(now, until(t.Until), sinkstate.Throttled) {
		return 0
	}
	return until(t.Until).Sub(now)
}

// standing is the worst of what holds the sink and its tenants.
func (s *scheduler) standing(now time.Time) sinkstate.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := sinkstate.State{Breaker: sinkstate.Closed, At: now.UTC().Truncate(time.Millisecond)}
	tenants := 0
	for _, tn := range s.tenants {
		addEndpoints(&st, tn, now)
		if s.addTenant(&st, tn, now) {
			tenants++
		}
	}
	if s.cfg.tenanted() {
		st.Tenants = tenants
	}
	st.Waits = s.awaits.now(now)
	if s.hold.lasts(now) {
		st.Held, st.Until, st.Tenants = s.hold.why, inJSON(s.hold.until), 0
	}
	if s.letters.held {
		st.Held, st.Until, st.Tenants = sinkstate.Mapping, inJSON(s.letters.probeAt), 0
	}
	return st
}

// addTenant adds what one tenant waits for, and reports whether it does.
func (s *scheduler) addTenant(st *sinkstate.State, tn *tenant, now time.Time) bool {
	waits := false
	if tn.breaker != nil && tn.breaker.State() != breaker.Closed {
		waits = true
		if state := breakerOf(tn.breaker.State()); st.Breaker != sinkstate.Open {
			st.Breaker = state
		}
		if at := inJSON(tn.breaker.ProbeAt()); tn.breaker.State() == breaker.Open && at.After(st.ProbeAt) {
			st.ProbeAt = at
		}
	}
	if tn.hold.lasts(now) {
		waits = true
		if at := inJSON(tn.hold.until); at.After(st.Until) {
			st.Held, st.Until = tn.hold.why, at
		}
	}
	return waits
}

// addEndpoints adds the one that is held longest.
func addEndpoints(st *sinkstate.State, tn *tenant, now time.Time) {
	for name, e := range tn.endpoints {
		if at := inJSON(e.hold.until); e.hold.lasts(now) && (at.After(st.FreeAt) || at.Equal(st.FreeAt) && name < st.Endpoint) {
			st.Endpoint, st.FreeAt = name, at
		}
	}
}

func breakerOf(s breaker.State) sinkstate.Breaker {
	switch s {
	case breaker.Open:
		return sinkstate.Open
	case breaker.HalfOpen:
		return sinkstate.HalfOpen
	case breaker.Closed:
	}
	return sinkstate.Closed
}

// mayEnd reports whether a person's word ends what holds.
func mayEnd(why sinkstate.Hold, throttled bool) bool {
	return why != sinkstate.NotHeld && (why != sinkstate.Throttled || throttled)
}

// inJSON is the end of a hold as it is read back: two that are equal compare so,
// and for nobody it ends before its time.
func inJSON(t time.Time) time.Time {
	return t.UTC().Add(time.Millisecond - 1).Truncate(time.Millisecond)
}

// resume frees what a person may free, and lets the records go that wait for
// it; what a vendor asked for if throttled is set. It reports whether anything
// was held.
func (s *scheduler) resume(now time.Time, throttled bool) (freed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if throttled {
		s.deaf = now.Add(afterResume)
	}
	freed = s.letters.resume()
	freed = s.hold.lift(now, throttled) || freed
	for _, tn := range s.tenants {
		freed = tn.hold.lift(now, throttled) || freed
		for _, e := range tn.endpoints {
			freed = e.lift(now, throttled) || freed
		}
	}
	for _, sh := range s.shards {
		for i, t := range sh.tasks.all() {
			e := sh.index.at(i)
			if e.state() != held || !mayEnd(t.waitsFor, throttled) {
				continue
			}
			e.due, t.at, t.waitsFor = 0, time.Time{}, sinkstate.NotHeld
			s.consider(sh, i)
		}
	}
	s.work.Broadcast()
	return freed
}
