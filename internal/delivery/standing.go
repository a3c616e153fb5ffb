package delivery

import (
	"time"

	"go.uber.org/zap"

	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/sinkstate"
)

// shortHold is not worth telling: such waits end before anybody has read of them.
const shortHold = 2 * time.Second

// Standing says how the sink stands, as far as this worker knows.
func (w *Worker) Standing() sinkstate.State {
	s := w.sched.standing(time.Now())
	s.Sink, s.Worker = w.cfg.Sink, w.name
	return s
}

// Resume frees a held mapping and lifts holds for refused credentials: what
// waits for them is tried at once. Holds that a vendor asked for stay, and so
// does the breaker, which finds out by itself. by and reason go to the log.
func (w *Worker) Resume(by, reason string) {
	freed := w.sched.resume(time.Now())
	w.log.Info("resumed", zap.Bool("was_held", freed), zap.String("by", by), zap.String("reason", reason))
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
	if s.hold.until.Sub(now) > shortHold {
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
	if tn.hold.until.Sub(now) > shortHold {
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
		if at := inJSON(e.hold.until); e.hold.until.Sub(now) > shortHold && (at.After(st.FreeAt) || at.Equal(st.FreeAt) && name < st.Endpoint) {
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

// inJSON is a time as it is read back: two that are equal compare so.
func inJSON(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// resume frees what a person may free, and lets the records go that wait for
// it. It reports whether anything was held.
func (s *scheduler) resume(now time.Time) (freed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	freed = s.letters.resume()
	freed = s.hold.lift(now) || freed
	for _, tn := range s.tenants {
		freed = tn.hold.lift(now) || freed
	}
	for _, sh := range s.shards {
		for i, t := range sh.tasks {
			e := sh.index.at(i)
			if e.state() != held || !t.resumable {
				continue
			}
			e.due, t.at, t.resumable = 0, time.Time{}, false
			s.consider(sh, i)
		}
	}
	s.work.Broadcast()
	return freed
}
