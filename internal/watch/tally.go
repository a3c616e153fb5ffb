package watch

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/record"
)

// maxTracked bounds the open letters of which each is known, over all
// partitions of a process: some 80 bytes each. What comes beyond is counted and
// not told apart.
const maxTracked = 200_000

// tally counts the open letters of one partition of a dead-letter topic. What
// was decided and the letters themselves are read at the same time, so either
// may come first.
type tally struct {
	next    int64 // the first offset that was not read
	open    map[int64]letter
	ids     map[uint64]struct{}         // of open letters: equal copies count once
	decided map[int64]disposition.State // of letters that were not read yet
	more    int64                       // open, and not tracked
}

type letter struct {
	id      uint64
	written int64 // unix seconds
}

func newTally() *tally {
	return &tally{open: map[int64]letter{}, ids: map[uint64]struct{}{}, decided: map[int64]disposition.State{}}
}

// read takes in what lies at an offset: a letter, or what is none. full says
// that no more letters may be tracked.
func (t *tally) read(r *kgo.Record, full bool) {
	t.next = r.Offset + 1
	state := t.decided[r.Offset]
	delete(t.decided, r.Offset)
	if r.Attrs.IsControl() {
		return
	}
	e := record.Read(r, record.FromHoldfast)
	if e.Parked() || state != "" {
		return
	}
	id := identify(e)
	if _, again := t.ids[id]; again {
		return
	}
	if full {
		t.more++
		return
	}
	t.ids[id] = struct{}{}
	t.open[r.Offset] = letter{id: id, written: r.Timestamp.Unix()}
}

// decide takes in what was decided about the letter at an offset. It reports
// whether the letter is open again and not known any more.
func (t *tally) decide(offset int64, state disposition.State) (forgotten bool) {
	l, known := t.open[offset]
	switch {
	case offset >= t.next && state == disposition.Open:
		delete(t.decided, offset)
	case offset >= t.next:
		t.decided[offset] = state
	case state == disposition.Open:
		return !known
	case known:
		delete(t.open, offset)
		delete(t.ids, l.id)
	}
	return false
}

// expire forgets what retention has deleted: all before start.
func (t *tally) expire(start int64) {
	for offset, l := range t.open {
		if offset < start {
			delete(t.open, offset)
			delete(t.ids, l.id)
		}
	}
	for offset := range t.decided {
		if offset < start {
			delete(t.decided, offset)
		}
	}
}

func (t *tally) count() int64 { return int64(len(t.open)) + t.more }

// oldest is when the oldest open letter was written; zero for none.
func (t *tally) oldest() time.Time {
	var first time.Time
	for _, l := range t.open {
		first = earlier(first, time.Unix(l.written, 0))
	}
	return first
}

// identify is the same for equal copies of a letter and for no others.
func identify(e *record.Envelope) uint64 {
	c := e.Copy()
	sum := sha256.Sum256([]byte(c.Origin.String() + " " + strconv.Itoa(c.Redrive) + " " + strconv.Itoa(c.Hop)))
	return binary.BigEndian.Uint64(sum[:])
}
