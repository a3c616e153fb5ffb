package delivery

import (
	"time"

	"holdfast.internal/internal/delivery/breaker"
)

// mappingProbe is how often one record is tried while the mapping is held.
const mappingProbe = 30 * time.Second

// budget bounds how many records a vendor may refuse in a burst: a bad deploy,
// or a contract that changed, must not pour a topic into the dead letters.
// Empty, it holds the mapping: one record is tried every 30 s, and the first
// that is delivered frees it. It is guarded by the scheduler's mutex.
type budget struct {
	left    *breaker.Budget
	held    bool
	probing bool
	probeAt time.Time
}

func newBudget(size int) budget { return budget{left: breaker.NewBudget(size)} }

func (b *budget) open() bool { return !b.held }

func (b *budget) allow(now time.Time) (ok bool, wait time.Duration) {
	switch {
	case !b.held:
		return true, 0
	case b.probing:
		return false, 0
	case b.probeAt.After(now):
		return false, b.probeAt.Sub(now)
	}
	return true, 0
}

func (b *budget) begin() { b.probing = b.held }

// refused takes one refusal from the budget. It reports whether the record may
// be dead-lettered, and whether that question held the mapping just now.
func (b *budget) refused(now time.Time) (ok, began bool) {
	if !b.held && b.left.Take() {
		return true, false
	}
	began = !b.held
	b.held, b.probing, b.probeAt = true, false, now.Add(mappingProbe)
	return false, began
}

// delivered gives back, and frees a held mapping; it reports whether it did.
func (b *budget) delivered() (freed bool) {
	b.left.Deliver()
	return b.probing && b.resume()
}

// resume frees the mapping; it reports whether it was held.
func (b *budget) resume() (freed bool) {
	if freed = b.held; freed {
		b.held, b.probing = false, false
		b.left.Refill()
	}
	return freed
}

// unasked ends a probe that the limits put off before it asked for anything:
// the next record is one.
func (b *budget) unasked() { b.probing = false }

// undecided ends a probe that showed nothing.
func (b *budget) undecided(now time.Time) {
	if b.held {
		b.probing, b.probeAt = false, now.Add(mappingProbe)
	}
}
