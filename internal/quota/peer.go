package quota

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Times of a process.
const (
	// Term is how long a share is good for after it was asked for. A new
	// granter that does not know what was promised waits as long before it
	// grants, so that a killed worker that was the granter sends again within
	// 3 s of its start; a broker that is silent for longer stops all senders.
	Term = 1500 * time.Millisecond

	demandEvery  = 200 * time.Millisecond
	demandIdle   = 500 * time.Millisecond
	demandUrgent = 50 * time.Millisecond
)

// peer is one process: what it demands, what it may use. It is a state
// machine over the records of the topic and the time; the network is
// elsewhere.
type peer struct {
	id      string
	term    time.Duration
	buckets []*Bucket // sorted by name

	order    order
	past     past
	board    *board
	granter  granter
	seq      uint64
	sent     map[uint64]time.Time // demands of the last term
	demanded time.Time
	// quiet is since when no granter was read: the last of its records, or
	// the first own one if there was none. Zero until then.
	quiet time.Time
	ended bool
}

// sameName reports whether two ids are of one process before and after it was
// started again: the name is what stands before the last slash, "" for none.
func sameName(a, b string) bool {
	i, j := strings.LastIndexByte(a, '/'), strings.LastIndexByte(b, '/')
	return i > 0 && i == j && a[:i] == b[:j]
}

func newPeer(id string) *peer {
	return &peer{
		id: id, term: Term, past: past{term: Term}, board: newBoard(Term), sent: map[uint64]time.Time{},
		granter: granter{id: id, term: Term},
	}
}

// add makes a bucket, or returns the one of that name with another share added.
func (p *peer) add(l Limit, share func() float64) *Bucket {
	i, ok := p.find(l.Name)
	if !ok {
		p.buckets = slices.Insert(p.buckets, i, newBucket(l))
	}
	b := p.buckets[i]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares = append(b.shares, share)
	return b
}

// remove forgets a bucket. What it was granted ends by itself.
func (p *peer) remove(b *Bucket) {
	if i, ok := p.find(b.limit.Name); ok && p.buckets[i] == b {
		p.buckets = slices.Delete(p.buckets, i, i+1)
	}
}

func (p *peer) find(name string) (i int, ok bool) {
	return slices.BinarySearchFunc(p.buckets, name, func(b *Bucket, name string) int { return cmp.Compare(b.limit.Name, name) })
}

// tick returns what is to be written now.
func (p *peer) tick(now time.Time) []*message {
	if p.ended {
		return nil
	}
	if p.order.begun {
		p.past.pass(now, p.order.next)
		p.board.horizon = p.past.horizon
	}
	var out []*message
	if m := p.granter.act(now, p.board); m != nil {
		out = append(out, m)
	}
	if p.due(now) {
		out = append(out, p.demand(now))
	}
	for _, m := range out {
		m.Basis, m.Horizon = p.order.basis(), p.past.horizon
	}
	return out
}

func (p *peer) due(now time.Time) bool {
	if len(p.buckets) == 0 {
		return false
	}
	every := demandIdle
	for _, b := range p.buckets {
		switch {
		case b.presses():
			every = min(every, demandUrgent)
		case !b.idle(now):
			every = min(every, demandEvery)
		}
	}
	return p.demanded.IsZero() || now.Sub(p.demanded) >= every
}

func (p *peer) demand(now time.Time) *message {
	if !p.demanded.IsZero() && age(p.demanded, now) > p.term {
		// The process was stopped. What it owned may be another's by now.
		p.quiet = time.Time{}
	}
	for seq, at := range p.sent {
		if age(at, now) > p.term {
			delete(p.sent, seq)
		}
	}
	p.seq++
	p.demanded, p.sent[p.seq] = now, now
	d := &demand{Seq: p.seq, Static: !p.quiet.IsZero() && now.Sub(p.quiet) >= counted(p.term)}
	for _, b := range p.buckets {
		d.Limits = append(d.Limits, b.want(now, d.Static))
	}
	return &message{From: p.id, Demand: d}
}

// end gives everything back, and returns what tells the others.
func (p *peer) end(now time.Time) *message {
	p.ended = true
	for _, b := range p.buckets {
		b.drop(now)
	}
	p.seq++
	return &message{From: p.id, Basis: p.order.basis(), Demand: &demand{Seq: p.seq, Gone: true}}
}

// read takes in the next record of the topic. m is nil for one that says
// nothing.
func (p *peer) read(now time.Time, offset int64, m *message) {
	counts, anew := p.order.read(offset, m)
	if anew {
		p.quiet = time.Time{}
		p.granter.reigns = false
		p.past = past{term: p.term}
	}
	if m == nil || p.ended {
		return
	}
	p.past.read(now, offset, m)
	if p.order.static.at == offset {
		p.past.static(now, offset, m, counts)
	}
	p.board.horizon = p.past.horizon
	switch own := m.From == p.id; {
	case m.Claim || m.Round != nil:
		p.quiet = now
	case own && p.quiet.IsZero():
		p.quiet = now
	}
	if m.Demand != nil {
		p.board.post(now, offset, m.From, m.Demand)
		p.agree(now, m.Demand)
	}
	if !counts {
		return
	}
	if begins := p.granter.read(now, m); begins && p.past.complete(p.order.start) {
		p.granter.inherit(now, p.past.promises(now), p.board)
	}
	switch {
	case m.Round != nil:
		p.take(now, m.From, m.Round)
	case m.From == p.id && m.Demand != nil && m.Demand.Static:
		p.fallBack(now, m.Demand)
	}
}

// take applies the grants of a round to this process.
func (p *peer) take(now time.Time, by string, r *round) {
	for _, g := range r.Grants {
		asked, known := p.sent[g.Seq]
		b := p.bucket(g.Limit)
		if g.To != p.id || !known || b == nil {
			continue
		}
		b.grant(now, by, r.N, g, lease{asked: asked, term: p.term})
	}
}

// fallBack lets the buckets of an own static demand go by it.
func (p *peer) fallBack(now time.Time, d *demand) {
	asked, known := p.sent[d.Seq]
	if !known {
		return
	}
	for _, w := range d.Limits {
		if b := p.bucket(w.Limit); b != nil && w.Static != nil {
			b.fallBack(now, *w.Static, lease{asked: asked, term: p.term})
		}
	}
}

func (p *peer) agree(now time.Time, d *demand) {
	for _, w := range d.Limits {
		if b := p.bucket(w.Limit); b != nil {
			if total, ok := p.board.total(now, w.Limit); ok {
				b.agree(total)
			}
			if w.Day != nil {
				b.learn(now, *w.Day)
			}
		}
	}
}

func (p *peer) bucket(name string) *Bucket {
	if i, ok := p.find(name); ok {
		return p.buckets[i]
	}
	return nil
}
