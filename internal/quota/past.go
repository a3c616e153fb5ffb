package quota

import (
	"slices"
	"time"
)

// past is what was read and may still be in force: the rounds of the last term,
// and the static demands. From it a new granter knows what was promised before it.
type past struct {
	term   time.Duration
	rounds []heard
	// unknown is the last static demand of which it is not known what it is
	// worth, or whether it counts.
	unknown int64
	// horizon: what stands before it in the log was written more than a term
	// ago, so that no share follows from it. 0 as long as nobody said so.
	horizon int64
	way     []waypoint
}

// heard is a round as it was read; or a static demand, by which its writer
// grants to itself.
type heard struct {
	at     int64
	read   time.Time
	by     ruling
	grants []grant
}

// waypoint is how far the log reached at a time, at least.
type waypoint struct {
	next int64
	at   time.Time
}

// maxWay bounds how many are kept, where a clock was set back: they are noted
// at every tick, and good for nothing after a term.
const maxWay = 64

// pass notes that this process has read up to next. It is the witness that what
// it had read a term ago is older than that: its own clock tells, and no other.
func (p *past) pass(now time.Time, next int64) {
	if n := len(p.way); n == 0 || p.way[n-1].next < next {
		p.way = append(p.way, waypoint{next: next, at: now})
	}
	for len(p.way) > 0 && ageAtLeast(p.way[0].at, now) >= counted(p.term) {
		p.horizon = max(p.horizon, p.way[0].next)
		p.way = p.way[1:]
	}
	if len(p.way) > maxWay {
		p.way = p.way[1:]
	}
}

// read takes in the next record.
func (p *past) read(now time.Time, offset int64, m *message) {
	// What its writer had not read it cannot bear witness of: that is of a
	// topic that was deleted and made again.
	if m.Basis < offset && m.Horizon <= m.Basis+1 {
		p.horizon = max(p.horizon, m.Horizon)
	}
	switch {
	case m.Round != nil && len(m.Round.Grants) > 0:
		p.hear(now, heard{at: offset, read: now, by: ruling{m.From, m.Round.N}, grants: m.Round.Grants})
	case m.Demand != nil && m.Demand.Gone:
		for i := range p.rounds {
			p.rounds[i].grants = slices.DeleteFunc(slices.Clone(p.rounds[i].grants), func(g grant) bool { return g.To == m.From })
		}
	}
}

func (p *past) hear(now time.Time, h heard) {
	p.rounds = append(slices.DeleteFunc(p.rounds, func(h heard) bool { return p.ended(now, h) }), h)
}

// static takes in a static demand that may count. Where it does, its writer saw
// a whole term without a round: what was granted has ended.
func (p *past) static(now time.Time, offset int64, m *message, counts bool) {
	h := heard{at: offset, read: now, by: ruling{n: m.Demand.Seq}}
	for _, w := range m.Demand.Limits {
		if counts = counts && w.Static != nil; counts {
			h.grants = append(h.grants, grant{To: m.From, Limit: w.Limit, Share: *w.Static})
		}
	}
	if !counts {
		p.unknown = offset
		return
	}
	p.rounds = slices.DeleteFunc(p.rounds, func(h heard) bool { return h.by.from != "" })
	p.hear(now, h)
}

// ended reports whether the shares of a round have: the demands that they
// answer stand before it, and were sent before it was read.
func (p *past) ended(now time.Time, h heard) bool {
	return h.at < p.horizon || !now.Before(h.read.Add(counted(p.term)))
}

// complete reports whether all is known that may be in force of what was read
// from an offset on.
func (p *past) complete(start int64) bool {
	return p.horizon > 0 && p.horizon >= start && p.unknown < p.horizon
}

// promises are the ledgers of what others may hold, by limit. Rounds that do
// not count are among them, as a reader who began late cannot tell.
func (p *past) promises(now time.Time) map[string]*ledger {
	all := map[string]*ledger{}
	for _, h := range p.rounds {
		if p.ended(now, h) {
			continue
		}
		for _, g := range h.grants {
			if all[g.Limit] == nil {
				all[g.Limit] = newLedger()
			}
			all[g.Limit].promise(g.To, promise{share: g.Share, by: h.by, until: h.read.Add(counted(p.term)), at: h.at})
		}
	}
	return all
}
