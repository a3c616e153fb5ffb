package quota

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Times of a granter.
const (
	// claimAgain is how long a claim may take to be read back.
	claimAgain = time.Second
	// roundLeast shows the others that the granter lives, also while nobody asks.
	roundLeast = 500 * time.Millisecond
)

// granter divides the limits while its process owns partition 0.
type granter struct {
	id   string
	term time.Duration

	owner   bool
	reigns  bool      // its claim was read, and no other since
	claimAt time.Time // when to claim, while it does not reign
	from    time.Time // nothing is granted before
	settled time.Time // what others held when the reign began has ended

	round   uint64
	ruled   time.Time
	limits  map[string]*granted
	pending bool // a demand was read since the last round
}

// granted is one limit.
type granted struct {
	from   time.Time // nothing is granted before
	ledger *ledger
	slots  slots
	told   map[string]told
	heard  map[string]tally // the answers of each process, as it said last
	climb  climb
}

func newGranted(l *ledger) *granted {
	return &granted{ledger: l, told: map[string]told{}, heard: map[string]tally{}}
}

// told is what a holder was granted last.
type told struct {
	seq   uint64
	share share
}

// counted is how long a share counts as held after its demand was read: its
// term, and what two clocks may differ in that time.
func counted(term time.Duration) time.Duration { return term + term/20 }

func (g *granter) own(owner bool) {
	g.owner, g.reigns, g.claimAt = owner, false, time.Time{}
}

// read takes in a record that counts. It reports whether a reign begins with
// it: nothing is granted for a term then, unless the granter inherits.
func (g *granter) read(now time.Time, m *message) (begins bool) {
	switch {
	case m.Claim && m.From == g.id && g.reigns: // once more: it was written twice
	case m.Claim:
		// Whoever loses a reign to another claims again only after a term: an
		// owner that is none any more learns of it in that time. The claim of one
		// who came before, read at the start, takes nothing from anybody.
		if g.reigns {
			g.claimAt = now.Add(counted(g.term))
		}
		g.reigns = g.owner && m.From == g.id
		g.wait(now)
		return g.reigns
	case m.Demand != nil && m.Demand.Static:
		g.wait(now)
	case m.Demand != nil:
		g.demand(m.From, m.Demand)
	}
	return false
}

// inherit begins a reign with what all others may hold, so that it need not
// wait for the end of that. Where it is more than there is, some of it has
// ended, and nobody knows which: if it were renewed, all of it would be held.
func (g *granter) inherit(now time.Time, held map[string]*ledger, b *board) {
	g.from = now
	for name, l := range held {
		most := share{}
		for id, s := range b.askers(now, name) {
			l.ack(id, ruling{s.By, s.Ack})
			most = most.atLeast(s.Total)
		}
		g.limits[name] = newGranted(l)
		if over := l.promised().minus(most.times(1 + rounding)); over != (share{}) {
			g.limits[name].from = g.settled
		}
	}
}

// wait lets everything end that others may hold, and what was granted with it.
func (g *granter) wait(now time.Time) {
	g.settled = now.Add(counted(g.term))
	g.from = g.settled
	g.limits = map[string]*granted{}
}

func (g *granter) demand(from string, d *demand) {
	g.pending = true
	for _, l := range g.limits {
		if d.Gone {
			l.ledger.gone(from)
			delete(l.told, from)
		}
	}
	for _, w := range d.Limits {
		if l := g.limits[w.Limit]; l != nil {
			l.ledger.ack(from, ruling{w.By, w.Ack})
		}
	}
}

// act returns the claim or the round that is due, or nil.
func (g *granter) act(now time.Time, b *board) *message {
	switch {
	case !g.owner:
		return nil
	case !g.reigns && now.Before(g.claimAt):
		return nil
	case !g.reigns:
		g.claimAt = now.Add(claimAgain)
		return &message{From: g.id, Claim: true}
	case !g.pending && now.Sub(g.ruled) < roundLeast:
		return nil
	}
	g.round++
	g.ruled, g.pending = now, false
	r := &round{N: g.round}
	if !now.Before(g.from) {
		names := b.limits(now)
		for _, name := range names {
			r.Grants = append(r.Grants, g.divide(now, name, b)...)
		}
		g.forget(now, b.horizon, names)
	}
	return &message{From: g.id, Round: r}
}

// forget forgets the limits that nobody has any more and nobody may be using.
func (g *granter) forget(now time.Time, horizon int64, names []string) {
	maps.DeleteFunc(g.limits, func(name string, l *granted) bool {
		if _, asked := slices.BinarySearch(names, name); asked {
			return false
		}
		l.ledger.expire(now, horizon)
		return len(l.ledger.held) == 0
	})
}

// divide grants one limit: to those whose demand is new, and to those whose
// share changes.
func (g *granter) divide(now time.Time, name string, b *board) []grant {
	l := g.limits[name]
	if l == nil {
		l = newGranted(newLedger())
		g.limits[name] = l
	}
	if now.Before(l.from) {
		return nil
	}
	l.ledger.expire(now, b.horizon)
	standing := b.askers(now, name)
	total, _ := b.total(now, name)
	ceiling := l.ceiling(now, total.Rate, standing, !now.Before(g.settled))
	total = total.capped(ceiling)
	seqs, until := map[string]uint64{}, map[string]time.Time{}
	var askers []asker
	for id, s := range standing {
		seqs[id], until[id] = s.seq, s.read.Add(counted(g.term))
		askers = append(askers, asker{id: id, want: min(s.Want, total.Rate), need: min(s.Need, total.Burst)})
	}
	slices.SortFunc(askers, func(a, b asker) int { return cmp.Compare(a.id, b.id) })
	turn := l.slots.turns(now, total, askers)
	parts := divide(l.within(total, standing, turn), turn)
	for _, a := range askers {
		if _, ok := parts[a.id]; !ok {
			parts[a.id] = share{}
		}
	}
	maps.DeleteFunc(l.told, func(id string, _ told) bool { _, asks := seqs[id]; return !asks })
	given := l.ledger.grant(total, parts, ruling{g.id, g.round}, until)
	l.slots.granted(now, parts, given)
	var grants []grant
	for _, a := range askers {
		t := told{seq: seqs[a.id], share: given[a.id]}
		if l.told[a.id] == t {
			continue
		}
		l.told[a.id] = t
		grants = append(grants, grant{To: a.id, Seq: t.seq, Limit: name, Share: t.share, Ceiling: ceiling, Noise: l.climb.noise})
	}
	return grants
}

// within is what those whose turn it is may divide: not what somebody holds
// who asks no more, because he was killed. Else they would keep all of theirs,
// and who comes in his place have nothing until his share has ended.
func (l *granted) within(total share, asking map[string]standing, turn []asker) share {
	rest := total.minus(l.ledger.apart(asking))
	if rest.none() || !fits(rest, turn) {
		return total
	}
	return rest
}

// ceiling is what the vendor's answers to all leave of the limit, in tokens per
// second; 0 for no ceiling. Before a reign has settled they do not count: those
// who start with the granter send little yet, and what is sent is what a limit
// that nobody told is cut to.
func (l *granted) ceiling(now time.Time, limit float64, all map[string]standing, settled bool) float64 {
	var news tally
	known, noise := 0.0, 0.0
	heard := make(map[string]tally, len(all))
	for id, s := range all {
		if before, ok := l.heard[id]; ok {
			news = news.plus(s.Answers.minus(before))
		}
		heard[id] = s.Answers
		known, noise = max(known, s.Ceiling), max(noise, s.Noise)
	}
	l.heard = heard
	l.climb.resume(now, known, noise)
	if settled {
		l.climb.hear(now, news, limit)
	}
	if c := l.climb.ceiling(now); c < limit {
		return c
	}
	return 0
}
