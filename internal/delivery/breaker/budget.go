package breaker

// perDelivery is how many deliveries give one record back.
const perDelivery = 10

// Budget bounds how fast a mapping may pour records into the dead-letter
// topic: a bad deploy runs it empty, a few bad records among good ones never
// do. Only refusals that a vendor's answer gave are to be taken from it. It is
// not safe for concurrent use.
type Budget struct{ size, left, delivered int }

// NewBudget returns a full budget of so many records.
func NewBudget(size int) *Budget { return &Budget{size: size, left: size} }

// Take spends one record. false: the budget is empty, nothing was taken, and
// the mapping is to be held.
func (b *Budget) Take() bool {
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}

// Deliver counts a delivery; every tenth gives one record back. Deliveries
// into a full budget are not saved up.
func (b *Budget) Deliver() {
	if b.left == b.size {
		b.delivered = 0
		return
	}
	if b.delivered++; b.delivered == perDelivery {
		b.delivered = 0
		b.left++
	}
}

// Refill makes the budget full: somebody resumed the sink, or a probe of the
// held mapping was delivered.
func (b *Budget) Refill() { b.left, b.delivered = b.size, 0 }

// Left returns how many records may still be taken.
func (b *Budget) Left() int { return b.left }
