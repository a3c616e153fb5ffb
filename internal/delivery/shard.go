package delivery

import (
	"container/heap"
	"context"

	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/record"
)

// shard is one partition number of a sink: that partition of the source, of
// every tier and of the redrive topic. All of them have one owner, and a record
// keeps its number, so everything about the order of a key is in one shard. It
// is guarded by the scheduler's mutex.
type shard struct {
	num   int32
	epoch int32   // generation of the group when it was assigned
	parts []*part // by slot, nil until assigned; nil altogether once the shard was given up
	index index
	tasks tasks // the outstanding records that are in memory
	due   dueHeap
	// refetch is what may be sent and is not in memory, maxRefetch at most, so
	// that no shard takes the room of others.
	refetch []id

	// open is set once the tiers were read up to where they ended at the
	// assignment. Before that nobody knows which records come first.
	open bool
	// reach is the latest origin that was met in a tier. The source is read up to
	// there before anything is sent: an earlier record of the key may lie there.
	reach int64
	// gone is set when the shard was revoked or lost: from then on nothing of
	// it is sent, marked or committed. Without it, a late settle would commit
	// for a partition that has a new owner, and move that owner's offset over
	// records it has not delivered.
	gone bool
	// sends ends when the shard is given up, with what is in flight.
	sends     context.Context //nolint:containedctx // it is the shard's life
	stopSends context.CancelFunc
	active    int // tasks with a slot or on their way to another topic, and letters whose release is being written

	// settled holds, by origin, the newest copy that this owner settled or moved
	// on, of the first records it met: those of which an older copy may come yet,
	// because its commit was lost, or which a stalled former owner may still move.
	settled map[int64]uint16
	newest  int64 // of these origins
}

// maxSettled bounds shard.settled. A former owner can be late only with what it
// had in flight, and those records are the first that a new owner meets.
const maxSettled = 4096

func newShard(life context.Context, num, epoch int32, slots int) *shard {
	s := &shard{
		num: num, epoch: epoch, parts: make([]*part, slots), index: newIndex(),
		settled: make(map[int64]uint16), reach: -1,
	}
	s.sends, s.stopSends = context.WithCancel(life)
	return s
}

// remember notes that this owner settled a copy or moved it on.
func (s *shard) remember(origin int64, rank uint16) {
	if origin < 0 { // of another topic, and known by its number alone
		return
	}
	full := len(s.settled) >= maxSettled
	if full && origin > s.newest { // as nearly all are then
		return
	}
	if before, ok := s.settled[origin]; ok || !full {
		s.settled[origin] = max(before, rank)
		s.newest = max(s.newest, origin)
	}
}

// stale reports whether a copy is not the newest: this owner settled the same
// one or a newer one; or a former owner wrote it after this one had settled the
// copy before it.
func (s *shard) stale(origin int64, rank uint16, env *record.Envelope) bool {
	if origin > s.newest {
		return false
	}
	settled, ok := s.settled[origin]
	if !ok {
		return false
	}
	follows := rank == settled+1 && env.Redrive.Count == int(settled>>hopBits)
	return rank <= settled || follows && env.Epoch < s.epoch
}

// caughtUp reports whether everything that lay in the tiers at the assignment
// was read, and the source as far as the records in the tiers reach, and a
// place is committed for everything. With full memory the source gets no
// further, and what is known has to do.
func (s *shard) caughtUp(full bool) bool {
	for slot, p := range s.parts {
		if p == nil || p.finished == nil || p.unplaced || slot != slotSource && !p.caughtUp() {
			return false
		}
	}
	return full || s.reach < 0 || s.reach < s.parts[slotSource].finished.Next()
}

// part is one partition of a shard.
type part struct {
	topic    string
	slot     int
	shard    *shard
	finished *offsets.Tracker // nil until the committed offset is known
	end      int64            // where the topic ended at the assignment; -1 until known
	// ahead are offsets that this worker wrote and settled before it read them.
	ahead map[int64]struct{}
	// unplaced is set while it is not committed where the partition begins.
	unplaced bool
	// stopped is set when its log was cut below what was read.
	stopped bool
	// withheld is the first offset that a barrier keeps back; -1 for none.
	withheld int64
}

func (p *part) caughtUp() bool { return p.end == 0 || p.end > 0 && p.finished.Next() >= p.end }

// finish marks the record at offset as settled.
func (p *part) finish(offset int64) {
	if offset >= p.finished.Next() {
		p.ahead[offset] = struct{}{}
		return
	}
	p.finished.Finish(offset)
}

// meet notes that the record at offset was read, and reports whether it was
// settled already.
func (p *part) meet(offset int64) bool {
	if p.finished.Add(offset) {
		return true
	}
	if _, ok := p.ahead[offset]; ok {
		delete(p.ahead, offset)
		p.finished.Finish(offset)
		return true
	}
	return false
}

// dueHeap orders the entries that wait for their time, the soonest first, and
// of those at one time the first that was met, because its neighbours in the
// topic come next. An item may be out of date: whoever takes it looks at the entry.
type dueHeap []dueItem

type dueItem struct {
	due tick
	id  id
}

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].id < h[j].id
}

func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *dueHeap) Push(x any) { *h = append(*h, x.(dueItem)) } //nolint:forcetypeassert // the heap holds nothing else

// Pop is for container/heap.
func (h *dueHeap) Pop() any {
	old := *h
	item := old[len(old)-1]
	*h = old[:len(old)-1]
	return item
}

func (s *shard) wait(i id, due tick) { heap.Push(&s.due, dueItem{due, i}) }
