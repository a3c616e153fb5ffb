package delivery

import "context"

// partition is one assignment of one partition to this worker. It is guarded
// by the scheduler's mutex.
type partition struct {
	topic string
	num   int32
	tier  int // index into Config.Tiers; -1 for source and redrive

	// closed is set when the partition was revoked or lost: from then on
	// nothing of it is sent, marked or committed. Without it, a late settle
	// would commit for a partition that has a new owner, and move that owner's
	// offset over records it has not delivered.
	closed bool
	// draining is set before: what is in flight may still settle.
	draining bool
	// waits ends when the partition drains: what has not been sent yet is not
	// sent any more. sends ends when it is closed: what is in flight is given up.
	waits, sends         context.Context //nolint:containedctx // they are the partition's life
	stopWaits, stopSends context.CancelFunc
	active               int // tasks taken from lanes and not given back

	window    []settled // unfinished records and the finished ones behind them, by offset
	committed int64     // last offset handed to a commit, -1 for none
	next      int64     // offset after the newest record, -1 for none

	waiting      int // records of a tier that are not due yet
	waitingBytes int
	paused       bool

	seen recent // copies met, so that an equal one is dropped
}

type settled struct {
	offset int64
	done   bool
}

func newPartition(life context.Context, topic string, num int32, tier int) *partition {
	p := &partition{topic: topic, num: num, tier: tier, committed: -1, next: -1}
	p.sends, p.stopSends = context.WithCancel(life)
	p.waits, p.stopWaits = context.WithCancel(p.sends)
	return p
}

// add notes that a record was read. Offsets rise; gaps (transaction markers,
// compaction) need no care, because only offsets that exist are waited for.
func (p *partition) add(offset int64) {
	p.window = append(p.window, settled{offset: offset})
	p.next = offset + 1
}

// finish marks a record as delivered or safely moved.
func (p *partition) finish(offset int64) {
	lo, hi := 0, len(p.window)
	for lo < hi {
		mid := (lo + hi) / 2
		if p.window[mid].offset < offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(p.window) || p.window[lo].offset != offset {
		return
	}
	p.window[lo].done = true
	n := 0
	for n < len(p.window) && p.window[n].done {
		n++
	}
	p.window = p.window[n:]
}

// committable returns the offset to commit: that of the first unfinished
// record, or the one after the newest. -1 if nothing was read.
func (p *partition) committable() int64 {
	if len(p.window) > 0 {
		return p.window[0].offset
	}
	return p.next
}

// gone reports whether nothing more of p may be sent.
func (p *partition) gone() bool { return p.closed || p.draining }
