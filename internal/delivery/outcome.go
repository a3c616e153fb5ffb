package delivery

import (
	"time"

	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/sinkstate"
)

// finish settles t: it was delivered, or lies safely where nobody here waits for it.
func (s *scheduler) finish(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(t)
}

func (s *scheduler) settle(t *task) {
	sh := t.shard
	s.leave(t)
	if sh.parts == nil {
		return
	}
	e := sh.index.at(t.id)
	s.vacate(sh, e.slot(), e.offset())
	sh.remember(e.origin, e.rank)
	s.drop(sh, t.id)
}

// drop forgets an entry and lets what waited behind it go.
func (s *scheduler) drop(sh *shard, i id) {
	s.forget(sh, i)
	next := sh.index.remove(i)
	s.outstanding--
	if next != none {
		s.consider(sh, next)
	}
	s.pressure()
}

// leave takes t off the list of what is under way in its shard.
func (s *scheduler) leave(t *task) { s.calm(t.shard) }

// calm notes that one thing less is under way in a shard.
func (s *scheduler) calm(sh *shard) {
	sh.active--
	s.quiet.Broadcast()
}

// depart sends t on its way to another topic: nothing else happens to it until
// the write was acknowledged.
func (s *scheduler) depart(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.moving = true
	t.moves++
}

// moved is the acknowledgement of a move within the shard.
func (s *scheduler) moved(t *task, move, slot int, offset int64, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := t.shard
	switch {
	case !t.moving || t.moves != move: // it was read before it was acknowledged
	case sh.parts == nil: // given up: the next owner reads both copies and knows the newer
		s.leave(t)
	default:
		s.arrive(sh, t.id, slot, offset, due)
	}
}

// arrive notes that a record lies in another topic now: it was written there,
// by all replicas.
func (s *scheduler) arrive(sh *shard, i id, slot int, offset int64, due time.Time) {
	e, t := sh.index.at(i), sh.tasks.at(i)
	sh.remember(e.origin, e.rank)
	s.vacate(sh, e.slot(), e.offset())
	t.moving = false
	t.env.Hop++
	e.place(slot, offset)
	e.rank = rankOf(t.env.Redrive.Count, t.env.Hop)
	e.due = s.tickAt(due)
	if slot == s.layout.letters && !t.env.Parked() {
		e.due = never
	}
	s.leave(t)
	e.set(held)
	t.at, t.throttles, t.waited, t.begun = due, 0, false, false
	if !s.mayKeep(slot) {
		s.forget(sh, i)
	} else {
		t.kept = true
		s.keptBytes += t.size
	}
	// Somebody may have read the letter, and decided, before we heard of it.
	if !s.dropDecided(sh, i) {
		s.consider(sh, sh.index.settleDown(i))
	}
	s.pressure()
}

// putOff frees the slot of a task whose attempt the limits cut short, and lets
// it wait. It reports false for one that lies in a tier, has no room in memory
// and knows more than the tier does: it is to be written anew.
func (s *scheduler) putOff(t *task, now time.Time, wait time.Duration) (stays bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.land(t, breaker.Neither, now)
	if t.begun = t.begun || t.gate.asked; t.gate.asked {
		s.letters.undecided(now)
	} else {
		s.letters.unasked()
	}
	t.gate.giveBack(now)
	t.waited = true
	t.waitsFor = sinkstate.Throttled
	at := dueIn(now, wait)
	stays = t.shard.gone || wait <= atGate || t.slot == slotSource || t.slot == s.layout.letters || s.mayKeep(t.slot)
	switch {
	case stays:
		s.wait(t, at)
	case !t.begun:
		s.wait(t, at)
		s.forget(t.shard, t.id)
	default:
		t.at, t.moving = at, true
		t.moves++
		return false
	}
	return true
}

// again lets t wait where it is, to be sent at the given time; its key waits
// with it.
func (s *scheduler) again(t *task, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait(t, at)
}

func (s *scheduler) wait(t *task, at time.Time) {
	s.leave(t)
	if t.shard.gone {
		return
	}
	e := t.shard.index.at(t.id)
	e.set(held)
	e.due, t.at = s.tickAt(at), at
	if s.dropDecided(t.shard, t.id) {
		return
	}
	s.consider(t.shard, t.shard.index.settleDown(t.id))
}

// abandon gives t up without settling it: its shard is gone or the worker
// stops, and whoever owns the shard next reads it again.
func (s *scheduler) abandon(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(t)
	if !t.shard.gone {
		t.shard.index.at(t.id).set(held)
	}
}
