//go:build synctests

package delivery

import (
	"testing"
)

// TestP3TheBrokerBalances: workers join and leave under KIP-848; numbers stay
// together, so that keys keep their order and nothing is sent twice.
func TestP3TheBrokerBalances(t *testing.T) {
	t.Parallel()
	book := newOrderBook()
	inWorld(t, Config{BrokerBalances: true}, book.deliver, func(w *world) {
		p := &keyedProducer{world: w, partitions: 2, sent: map[string]int{}}
		first, stopFirst := w.start()
		p.rounds(25)
		second, stopSecond := w.start()
		p.rounds(30)
		if a, b := first.sched.owned.Load(), second.sched.owned.Load(); a != 1 || b != 1 {
			t.Errorf("the two own %d and %d of 2 numbers", a, b)
		}
		for _, worker := range []*Worker{first, second} {
			if worker.sched.partial() {
				t.Error("a number came apart")
			}
		}
		stopFirst()
		p.rounds(30)
		w.settles(book, p.total())
		stopSecond()
	})
}

// TestP3TheSourceGrowsWhileTheBrokerBalances: the broker divides the source
// before its tiers have grown, which takes numbers apart; they are whole again
// after, also when workers came and went meanwhile.
func TestP3TheSourceGrowsWhileTheBrokerBalances(t *testing.T) {
	t.Parallel()
	book := newOrderBook()
	inWorld(t, Config{BrokerBalances: true}, book.deliver, func(w *world) {
		_, stopFirst := w.start()
		_, stopSecond := w.start()
		defer stopSecond()
		p := &keyedProducer{world: w, partitions: 2, sent: map[string]int{}}
		p.rounds(30)
		w.grow(4, source)
		p.rounds(15)
		_, stopThird := w.start()
		defer stopThird()
		p.rounds(15)
		stopFirst()
		p.rounds(15)
		w.apply(4)
		p.rounds(60)
		p.partitions = 4
		p.rounds(60)
		w.settles(book, p.total())
	})
}
