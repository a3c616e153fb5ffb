package delivery

import "time"

// id names an entry of an index.
type id = int32

const none id = -1

// entry is one outstanding record: where it lies, when it may go, and what it
// waits for. 32 bytes, because an outage may leave a million of them; the
// record itself is in memory only where a [task] says so.
type entry struct {
	key    uint64 // hash of the record's key; 0 for a record without order
	origin int64  // its place in the order of its key
	lo     uint32 // offset where it lies now, in 40 bits
	hi     uint8
	slotst uint8  // slot in 5 bits, state in 3
	rank   uint16 // redrives in 4 bits, hops in 12: the newer of two copies has the higher
	due    tick
	next   id // of its key, by origin; the last one's next is the first
}

// state says what an entry is doing.
type state uint8

const (
	vacant state = iota // no record at all
	stored              // lies in its topic, not in memory
	held                // in memory, waits for its time or for an earlier one of its key
	queued              // in memory, may be sent
	wanted              // may be sent and is being read from its topic
	flying              // with a slot, or on its way to another topic
)

const (
	stateBits = 3
	hopBits   = 12
	maxHops   = 1<<hopBits - 1
	maxRedone = 1<<4 - 1
)

func (e *entry) offset() int64 { return int64(e.hi)<<32 | int64(e.lo) }

func (e *entry) slot() int { return int(e.slotst >> stateBits) }

func (e *entry) state() state { return state(e.slotst & (1<<stateBits - 1)) }

func (e *entry) set(st state) { e.slotst = e.slotst&^(1<<stateBits-1) | uint8(st) }

func (e *entry) place(slot int, offset int64) {
	e.lo, e.hi = uint32(offset), uint8(offset>>32)       //nolint:gosec // 40 bits hold 10^12 records of a partition
	e.slotst = uint8(slot)<<stateBits | uint8(e.state()) //nolint:gosec // a sink has at most 20 topics
}

// rankOf orders the copies of a record. Beyond the bounds of its bits copies
// look alike, and of two alike one is dropped: never both.
func rankOf(redrives, hops int) uint16 {
	return uint16(min(redrives, maxRedone))<<hopBits | uint16(min(hops, maxHops)) //nolint:gosec // bounded
}

// tick is a time in units of 10 ms since the scheduler began; never is no time at all.
type tick uint32

const (
	tickLength      = 10 * time.Millisecond
	never      tick = 1<<32 - 1
)

// index holds the outstanding records of one shard, chained by key in the
// order of their origins. Only the first of a chain may be sent.
type index struct {
	entries []entry
	free    id // list through next
	live    int
	last    chains       // by key, the last of its chain
	loose   map[int64]id // by origin, the entries without a key
}

func newIndex() index { return index{free: none, loose: make(map[int64]id)} }

func (x *index) at(i id) *entry { return &x.entries[i] }

// find returns the entry of a record, or none.
func (x *index) find(key uint64, origin int64) id {
	if key == 0 {
		if i, ok := x.loose[origin]; ok {
			return i
		}
		return none
	}
	last := x.last.get(x.entries, key)
	if last == none {
		return none
	}
	first := x.at(last).next
	if x.at(first).origin == origin { // in flight, it may stand before earlier ones
		return first
	}
	if x.at(last).origin < origin {
		return none
	}
	for i := x.at(first).next; i != first && x.at(i).origin <= origin; i = x.at(i).next {
		if x.at(i).origin == origin {
			return i
		}
	}
	return none
}

// insert adds a record to the chain of its key, behind what is in flight and
// before everything of a later origin.
func (x *index) insert(e entry) id {
	i := x.alloc()
	*x.at(i) = e
	x.live++
	x.link(i)
	return i
}

func (x *index) alloc() id {
	if x.free != none {
		i := x.free
		x.free = x.at(i).next
		return i
	}
	x.entries = append(x.entries, entry{})
	return id(len(x.entries) - 1) //nolint:gosec // the index is bounded far below
}

func (x *index) link(i id) {
	e := x.at(i)
	e.next = i
	if e.key == 0 {
		x.loose[e.origin] = i
		return
	}
	last := x.last.get(x.entries, e.key)
	if last == none {
		x.last.put(x.entries, e.key, i)
		return
	}
	first, before := x.at(last).next, last
	end := x.at(last).origin <= e.origin
	if !end {
		n := first
		if x.at(first).state() == flying {
			before, n = first, x.at(first).next
			end = first == last
		}
		for !end && x.at(n).origin <= e.origin { // the last one ends this
			before, n = n, x.at(n).next
		}
	}
	e.next, x.at(before).next = x.at(before).next, i
	if end {
		x.last.put(x.entries, e.key, i)
	}
}

// unlink takes an entry out of its chain and returns the one that leads it now, or none.
func (x *index) unlink(i id) (first id) {
	e := x.at(i)
	if e.key == 0 {
		if x.loose[e.origin] == i {
			delete(x.loose, e.origin)
		}
		return none
	}
	last := x.last.get(x.entries, e.key)
	if e.next == i {
		x.last.remove(x.entries, e.key)
		return none
	}
	before := last
	for x.at(before).next != i {
		before = x.at(before).next
	}
	x.at(before).next = e.next
	if last == i {
		last = before
		x.last.put(x.entries, e.key, last)
	}
	return x.at(last).next
}

// remove forgets an entry and returns the one that leads its key now, or none.
func (x *index) remove(i id) (first id) {
	first = x.unlink(i)
	x.live--
	*x.at(i) = entry{next: x.free}
	x.free = i
	return first
}

// settleDown puts an entry that is no longer in flight where its origin
// belongs: a redriven record may have been queued behind it meanwhile. It
// returns the one that leads the key now.
func (x *index) settleDown(i id) (first id) {
	e := x.at(i)
	if e.key == 0 || e.next == i {
		return i
	}
	if x.first(e.key) == i && x.at(e.next).origin < e.origin {
		x.unlink(i)
		x.link(i)
	}
	return x.first(e.key)
}

// first returns the first of a key, or none.
func (x *index) first(key uint64) id {
	last := x.last.get(x.entries, key)
	if last == none {
		return none
	}
	return x.at(last).next
}

// leads reports whether nothing of its key comes before the entry.
func (x *index) leads(i id) bool {
	e := x.at(i)
	return e.key == 0 || x.first(e.key) == i
}

// each calls f with every entry.
func (x *index) each(f func(id, *entry)) {
	for i := range x.entries {
		if x.entries[i].state() != vacant {
			f(id(i), &x.entries[i])
		}
	}
}
