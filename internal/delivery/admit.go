package delivery

import (
	"hash/maphash"
	"time"

	"holdfast.internal/internal/record"
)

// arrival is a record that was read from a topic.
type arrival struct {
	offset int64
	env    *record.Envelope // nil for what needs no delivery (markers of transactions)
	due    time.Time        // zero: at once
	tenant string
	// outline: env says only what the index has to know, too little to be sent.
	outline bool
}

// admit takes the records of one partition that were read. It reports whether
// some were kept back, which will be read again.
func (s *scheduler) admit(topic string, num int32, arrivals []arrival) (kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[num]
	if sh == nil || sh.gone {
		return false
	}
	p := sh.parts[s.layout.slots[topic]]
	if p == nil || p.finished == nil || p.stopped {
		return false
	}
	limit := int64(-1)
	if p.slot == slotSource && s.barrier != nil {
		arrivals, limit = s.withhold(p, arrivals)
	}
	for i := range arrivals {
		a := &arrivals[i]
		switch settled := p.meet(a.offset); {
		case settled:
		case a.env == nil:
			p.finished.Finish(a.offset)
		default:
			s.take(p, a)
		}
	}
	if limit > p.finished.Next() {
		p.finished.Skip(limit - 1)
	}
	s.reachOver(sh)
	s.tryOpen(sh)
	s.pressure()
	return limit >= 0
}

// take files one record that is not settled.
func (s *scheduler) take(p *part, a *arrival) {
	sh, offset, env := p.shard, a.offset, a.env
	key, origin := s.keyOf(env), s.originOf(env)
	rank := rankOf(env.Redrive.Count, env.Hop)
	if i := sh.index.find(key, origin); i != none {
		e := sh.index.at(i)
		switch {
		case e.slot() == p.slot && e.offset() == offset:
			return // this worker wrote it, and knows
		case rank <= e.rank: // an older copy, or the same one twice
			if moved := rank < e.rank && rank>>hopBits == e.rank>>hopBits; moved {
				s.vacate(sh, p.slot, offset)
			} else {
				p.finish(offset)
			}
			return
		case e.state() != flying:
			s.supersede(sh, i, p, a)
			return
		case sh.tasks.at(i).moving && env.Redrive.Count > int(e.rank>>hopBits):
			// A dead letter was redriven before its own write was acknowledged here.
			sh.tasks.at(i).moving = false
			s.leave(sh.tasks.at(i))
			s.supersede(sh, i, p, a)
			return
		case sh.tasks.at(i).moving && env.Epoch >= sh.epoch:
			s.arrive(sh, i, p.slot, offset, a.due) // read before its write was acknowledged
			return
		case env.Epoch < sh.epoch && env.Redrive.Count <= int(e.rank>>hopBits) && e.slot() != s.layout.letters:
			p.finish(offset) // a former owner's late word about what is in flight here
			return
		}
		// Of a record that waits in the dead-letter topic both copies stay: the
		// former owner may have released the one that is in flight here.
	} else if sh.stale(origin, rank, env) {
		p.finish(offset)
		return
	}
	e := entry{key: key, origin: origin, rank: rank, due: s.dueOf(p, a)}
	e.place(p.slot, offset)
	e.set(stored)
	i := sh.index.insert(e)
	s.outstanding++
	if p.slot != slotSource {
		sh.reach = max(sh.reach, origin)
	}
	if p.slot == slotSource || !a.outline && s.mayKeep(p.slot) {
		s.keep(sh, i, a)
	}
	s.giveWay(sh, i)
	if !s.dropDecided(sh, i) {
		s.consider(sh, i)
	}
}

// giveWay takes back what was about to be sent and is not the first of its key
// any more.
func (s *scheduler) giveWay(sh *shard, i id) {
	e := sh.index.at(i)
	if e.key == 0 || e.next == i || !sh.index.leads(i) {
		return
	}
	if next := sh.index.at(e.next); next.state() == queued {
		s.unqueueOne(sh.tasks.at(e.next))
		next.set(held)
	}
}

// supersede replaces an older copy that waits by a newer one.
func (s *scheduler) supersede(sh *shard, i id, p *part, a *arrival) {
	e := sh.index.at(i)
	s.forget(sh, i)
	if a.env.Redrive.Count == int(e.rank>>hopBits) {
		s.vacate(sh, e.slot(), e.offset())
	} else { // a job redrove it, and noted that
		sh.parts[e.slot()].finish(e.offset())
	}
	e.place(p.slot, a.offset)
	e.rank, e.due = rankOf(a.env.Redrive.Count, a.env.Hop), s.dueOf(p, a)
	e.set(stored)
	if !a.outline && s.mayKeep(p.slot) {
		s.keep(sh, i, a)
	}
	if !s.dropDecided(sh, i) {
		s.consider(sh, i)
	}
}

// dueOf is when a record may be sent: a dead letter never by itself, what waits
// behind one as soon as it leads its key.
func (s *scheduler) dueOf(p *part, a *arrival) tick {
	if p.slot == s.layout.letters && !a.env.Parked() {
		return never
	}
	return s.tickAt(a.due)
}

// keyOf hashes the key of a record; 0 where no order is kept.
func (s *scheduler) keyOf(env *record.Envelope) uint64 {
	if !s.cfg.Ordered || env.Event.Key == nil {
		return 0
	}
	return max(1, maphash.Bytes(s.seed, env.Event.Key))
}

// foreignOrigins is where the order of records begins that did not come from
// the present source: written by hand, or from a source of former days. They
// are earlier than all others, and each topic has a stretch of its own.
const (
	foreignOrigins = -1 << 62
	foreignTopics  = 1 << 20
	foreignStretch = 1 << 41
)

func (s *scheduler) originOf(env *record.Envelope) int64 {
	if at := env.Event.Origin; at.Topic != s.cfg.Source {
		topic := int64(maphash.String(s.seed, at.Topic) % foreignTopics)
		return foreignOrigins + topic*foreignStretch + at.Offset%foreignStretch
	}
	return env.Event.Origin.Offset
}
