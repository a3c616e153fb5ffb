package delivery

import (
	"slices"
	"time"

	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/sinkstate"
)

// enqueue lets a task take its tenant's turn.
func (s *scheduler) enqueue(t *task) {
	s.release(t)
	t.shard.index.at(t.id).set(queued)
	t.tenant = s.tenantOf(t.owner) // anew: the one that it had may have been forgotten while it waited
	t.tenant.queue.push(t)
	if t.tenant.queue.len() == 1 {
		s.turns = append(s.turns, t.tenant)
	}
	s.work.Signal()
}

// next returns a record that may be sent now, nil when the scheduler is closed.
// Its attempt has the gate of the slot, until the slot asks again.
func (s *scheduler) next(g *gate) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil
		}
		now := time.Now()
		t, wait := s.pick(now, g)
		if t != nil {
			if len(s.turns) > 0 {
				s.work.Signal() // one wakes the next, so that a burst wakes all without a storm
			}
			return t
		}
		if wait > 0 {
			s.alarmAt(now.Add(wait))
		}
		s.work.Wait()
	}
}

// pick takes the next record of the tenants in turn; wait is when to look
// again, 0 when something else has to happen first.
func (s *scheduler) pick(now time.Time, g *gate) (t *task, wait time.Duration) {
	if len(s.turns) == 0 {
		return nil, 0
	}
	if d := max(s.hold.until.Sub(now), s.fence.wait(now)); d > 0 {
		return nil, d
	}
	if slices.Contains(s.scarce, s.limit) {
		return nil, 0
	}
	if ok, d := s.letters.allow(now); !ok {
		return nil, d
	}
	for range len(s.turns) {
		if s.turn >= len(s.turns) {
			s.turn = 0
		}
		tn := s.turns[s.turn]
		ok, d := tn.allowed(now, s.scarce)
		if !ok {
			if d > 0 && (wait == 0 || d < wait) {
				wait = d
			}
			s.turn++
			continue
		}
		if ok, d := s.limit.TakeAhead(now, 1); !ok {
			return nil, d
		}
		return s.start(tn, now, g), 0
	}
	return nil, wait
}

func (s *scheduler) start(tn *tenant, now time.Time, g *gate) *task {
	t := tn.queue.first()
	if !s.dequeue(tn) {
		s.turn++
	}
	s.lift(t)
	t.rider = false
	tn.flying++
	s.flying++
	s.letters.begin()
	t.gate = g
	*g = gate{sched: s, tenant: tn, id: t.env.Event.ID, credit: 1, ahead: [3]bill{ofSink: {s.limit, 1}}}
	if tn.limit != nil {
		if ok, _ := tn.limit.TakeAhead(now, 1); ok { // else its share has shrunk since it was asked
			g.ahead[ofTenant] = bill{tn.limit, 1}
		}
	}
	if tn.breaker != nil {
		t.attempt = tn.breaker.Begin(now)
	}
	return t
}

// dequeue takes the first record of a tenant, and the tenant out of the turns
// if it was the last; it reports whether it was.
func (s *scheduler) dequeue(tn *tenant) (last bool) {
	tn.queue.pop()
	if tn.queue.len() > 0 {
		return false
	}
	at := slices.Index(s.turns, tn)
	s.turns = slices.Delete(s.turns, at, at+1)
	if at < s.turn {
		s.turn--
	}
	return true
}

// lift marks a record as under way.
func (s *scheduler) lift(t *task) {
	e := t.shard.index.at(t.id)
	e.set(flying)
	t.slot, t.waitsFor = e.slot(), sinkstate.NotHeld
	t.shard.active++
}

func (s *scheduler) tenantOf(name string) *tenant {
	tn := s.tenants[name]
	if tn == nil {
		tn = &tenant{name: name, seats: s.cfg.Concurrency}
		if s.cfg.tenanted() {
			tn.seats = s.cfg.TenantConcurrency
			tn.limit = s.tenantLimits.Limit(name)
			s.heedGrowth(tn.limit)
		}
		if !s.cfg.EveryFailureSpends {
			tn.breaker = breaker.New(breakerConfig(), tn.seats)
		}
		s.tenants[name] = tn
	}
	return tn
}

// maxIdleTenants bounds how many tenants are remembered for nothing.
const maxIdleTenants = 1024

func (s *scheduler) forgetTenants(now time.Time) {
	if len(s.tenants) <= maxIdleTenants { // so there is more than one, and each has a limit
		return
	}
	for name, tn := range s.tenants {
		if tn.idle(now) {
			s.tenantLimits.Forget(tn.limit)
			delete(s.tenants, name)
		}
	}
}
