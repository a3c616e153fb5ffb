package offsets

import "math/bits"

// Tracker knows which records of one partition are finished. It is not safe
// for concurrent use.
type Tracker struct {
	next   int64 // after the newest record, -1 unknown
	open   int
	chunks chunks
	told   []span // finished by an earlier owner, from next on, ascending

	last      commit
	encoded   bool // nothing has changed since last was made
	unwritten bool // last did not reach the broker

	size sizing
}

// commit is what a commit says.
type commit struct {
	offset   int64
	metadata string
}

// span is the offsets from from to before to.
type span struct{ from, to int64 }

// New starts a tracker at the committed offset with the metadata that was
// committed with it. start < 0 means unknown: the first Add decides. The
// tracker is usable also beside an error, which says what is wrong with the
// metadata: it is ignored then, and what it meant to spare is sent again.
func New(start int64, metadata string) (*Tracker, error) {
	start = max(start, -1)
	told, err := decode(start, metadata)
	return &Tracker{next: start, told: told, last: commit{start, metadata}}, err
}

// Add notes that a record was read and reports whether an earlier owner
// finished it, by the committed metadata; then it counts as finished. Offsets
// rise, those skipped between two calls count as finished. A record that was
// added before is not added again.
func (t *Tracker) Add(offset int64) (finished bool) {
	if offset < max(t.next, 0) {
		return t.Finished(offset)
	}
	if len(t.told) > 0 {
		t.size.changes++ // what was told in one piece may have gaps
	}
	t.forget(offset)
	finished = len(t.told) > 0 && t.told[0].from <= offset
	t.next = offset + 1
	t.forget(t.next)
	t.encoded = false
	if finished && t.open == 0 {
		return true // below the head at once
	}
	no, word, bit := place(offset)
	c := t.chunks.last(no)
	if finished {
		c.done[word] |= bit
		return true
	}
	if c.left == 0 {
		t.chunks.empty--
	}
	c.open[word] |= bit
	c.left++
	t.open++
	return false
}

// forget drops what was told about offsets before next.
func (t *Tracker) forget(next int64) {
	for len(t.told) > 0 && t.told[0].to <= next {
		if t.told = t.told[1:]; len(t.told) == 0 {
			t.told = nil
		}
	}
}

// Skip adds an offset that needs no delivery, such as a control record.
func (t *Tracker) Skip(offset int64) {
	if !t.Add(offset) {
		t.Finish(offset)
	}
}

// Finish marks a record as delivered or safely moved. Offsets that are
// finished already or were never added are ignored.
func (t *Tracker) Finish(offset int64) {
	c, word, bit := t.find(offset)
	if c == nil {
		return
	}
	c.open[word] &^= bit
	c.done[word] |= bit
	c.left--
	t.open--
	t.encoded = false
	t.size.changes++
	if c.left > 0 {
		return
	}
	t.chunks.empty++
	t.chunks.trim()
	if t.chunks.crowded() {
		t.chunks.compact()
		t.size.known = false // spans may have grown over gaps
	}
}

// find returns where the offset is open, nil if it is not.
func (t *Tracker) find(offset int64) (c *chunk, word int, bit uint64) {
	if offset < 0 || offset >= t.next {
		return nil, 0, 0
	}
	no, word, bit := place(offset)
	if c = t.chunks.find(no); c == nil || c.open[word]&bit == 0 {
		return nil, 0, 0
	}
	return c, word, bit
}

// Finished reports whether the offset lies below Next and needs no delivery
// any more. What has not been read yet is not finished.
func (t *Tracker) Finished(offset int64) bool {
	if offset >= t.next {
		return false
	}
	c, _, _ := t.find(offset)
	return c == nil
}

// Head returns the offset to commit: that of the first unfinished record, or
// Next. It is -1 if nothing is known.
func (t *Tracker) Head() int64 {
	if t.open == 0 {
		return t.next
	}
	return t.chunks.at(0).first()
}

// Next returns the offset after the newest record, the start if there is none,
// -1 if that is unknown.
func (t *Tracker) Next() int64 { return t.next }

// Outstanding returns how many records were added and are not finished.
func (t *Tracker) Outstanding() int { return t.open }

// Commit returns what to commit now, and whether it differs from what the last
// Commit returned or, before the first, from what New was given. The offset is
// -1, and nothing is to be committed, while nothing is known.
func (t *Tracker) Commit() (offset int64, metadata string, changed bool) {
	if t.next < 0 {
		return -1, "", false
	}
	changed = t.unwritten
	if !t.encoded {
		now := commit{t.Head(), t.encode()}
		changed = changed || now != t.last
		t.last = now
	}
	t.encoded, t.unwritten = true, false
	return t.last.offset, t.last.metadata, changed
}

// Dirty says that the last Commit did not reach the broker: the next one
// returns changed, whatever it says.
func (t *Tracker) Dirty() { t.unwritten = true }

// spans yields what is finished beyond the head, ascending and apart from each
// other. A span ends behind a finished record, so that adding records moves no
// span that is there.
func (t *Tracker) spans(yield func(span) bool) {
	var run span
	head := t.Head()
	inside := false // run is one, and nothing open has been met behind it
	for i := range t.chunks.n {
		c := t.chunks.at(i)
		if c.dropped && i > 0 {
			if !inside {
				run.from, inside = t.chunks.at(i-1).base()+chunkSize, true
			}
			run.to = c.base()
		}
		for word := range chunkWords {
			base := c.base() + int64(64*word)
			for open, done := c.open[word], c.done[word]&^before(head-base); done != 0 || open != 0 && inside; {
				if !inside {
					at := bits.TrailingZeros64(done)
					run.from, inside = base+int64(at), true
					open &^= before(int64(at))
				}
				at := bits.TrailingZeros64(open) // 64 if nothing is open
				below := done & before(int64(at))
				if below != 0 {
					run.to = base + int64(bits.Len64(below))
				}
				if open == 0 {
					break
				}
				if !yield(run) {
					return
				}
				inside = false
				done &^= below
			}
		}
	}
	for _, s := range t.told {
		s.from = max(s.from, t.next)
		if inside && s.from > t.next {
			if !yield(run) {
				return
			}
			inside = false
		}
		if inside {
			s.from, inside = run.from, false
		}
		if !yield(s) {
			return
		}
	}
	if inside {
		yield(run)
	}
}

// before returns a word with the bits below n, of which there may be none or
// all.
func before(n int64) uint64 {
	switch {
	case n <= 0:
		return 0
	case n >= 64:
		return ^uint64(0)
	}
	return 1<<n - 1
}
