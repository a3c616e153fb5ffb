package breaker

// perBack is how many deliveries give one refusal back.
const perBack = 10

// Budget bounds how many records a vendor may refuse in a burst. Full at its
// size; every ten deliveries give one back. It is not safe for concurrent use.
type Budget struct {
	size, left, delivered int
}

// NewBudget returns a full budget.
func NewBudget(size int) *Budget { return &Budget{size: size, left: size} }

// Take takes one refusal; false where none is left.
func (b *Budget) Take() bool {
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}

// Deliver notes a delivery.
func (b *Budget) Deliver() {
	if b.delivered++; b.delivered == perBack {
		b.delivered = 0
		b.left = min(b.left+1, b.size)
	}
}

// Refill makes the budget full.
func (b *Budget) Refill() { b.left, b.delivered = b.size, 0 }
