package quota

import (
	"slices"
	"time"
)

// board is what everybody demanded last. Demands older than a term are
// forgotten: a share that answers one has ended.
type board struct {
	term    time.Duration
	horizon int64 // what stands before it is older, whenever it was read
	last    map[string]posted
}

// posted is the last demand of a process.
type posted struct {
	seq    uint64
	at     int64
	read   time.Time
	limits map[string]want
}

// standing is a demand for one limit.
type standing struct {
	want
	seq  uint64
	read time.Time
}

func newBoard(term time.Duration) *board { return &board{term: term, last: map[string]posted{}} }

// post notes a demand. A process that was started again under its name asks
// in the place of the one before it, which was killed; what that one holds is
// another matter.
func (b *board) post(now time.Time, offset int64, from string, d *demand) {
	for id, p := range b.last {
		if !b.fresh(now, p) || id != from && sameName(id, from) {
			delete(b.last, id)
		}
	}
	if d.Gone {
		delete(b.last, from)
		return
	}
	p := posted{seq: d.Seq, at: offset, read: now, limits: make(map[string]want, len(d.Limits))}
	for _, w := range d.Limits {
		p.limits[w.Limit] = w
	}
	b.last[from] = p
}

func (b *board) fresh(now time.Time, p posted) bool {
	return now.Sub(p.read) < b.term && p.at >= b.horizon
}

// limits are the names of all limits that somebody has, sorted.
func (b *board) limits(now time.Time) []string {
	var names []string
	for _, p := range b.last {
		if !b.fresh(now, p) {
			continue
		}
		for name := range p.limits {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// askers are the demands for a limit, by process.
func (b *board) askers(now time.Time, limit string) map[string]standing {
	all := map[string]standing{}
	for id, p := range b.last {
		if w, ok := p.limits[limit]; ok && b.fresh(now, p) {
			all[id] = standing{want: w, seq: p.seq, read: p.read}
		}
	}
	return all
}

// total is the smallest limit that anybody knows under a name: configurations
// differ while a new one is rolled out, and one process hears first that a
// vendor lowered it.
func (b *board) total(now time.Time, limit string) (total share, ok bool) {
	for _, s := range b.askers(now, limit) {
		if !ok {
			total, ok = s.Total, true
		}
		total = total.atMost(s.Total)
	}
	return total, ok
}
