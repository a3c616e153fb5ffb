package quota

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Times of a slot.
const (
	// slotLeast is how long a turn is, rounded up to whole records: what is
	// lost at each change of turns is little beside it.
	slotLeast = 6 * time.Second
	// slotSlack is for the way there, so that the last record of a turn is
	// sent in it; slow limits have a fiftieth of a record's time more.
	slotSlack = 200 * time.Millisecond
)

// slots says whose turn it is, of one limit.
type slots struct {
	turn  []string  // sorted; nil while nobody has to wait
	begun time.Time // when all of them had their share; zero until then
	last  string    // whose turn began last: the next one in the order follows
}

// turns returns the askers that a limit is divided over now: all of them where
// their needs fit into the burst, else those that want to send, else some.
func (s *slots) turns(now time.Time, total share, askers []asker) []asker {
	if fits(total, askers) {
		s.turn = nil
		return askers
	}
	busy := slices.DeleteFunc(slices.Clone(askers), func(a asker) bool { return a.want <= 0 })
	if fits(total, busy) {
		s.turn = nil
		return busy
	}
	slices.SortFunc(busy, func(a, b asker) int { return cmp.Compare(a.id, b.id) })
	if s.over(now, total, busy) {
		s.next(total, busy)
	}
	return slices.DeleteFunc(busy, func(a asker) bool { return !slices.Contains(s.turn, a.id) })
}

func fits(total share, askers []asker) bool {
	var need float64
	for _, a := range askers {
		need += a.need
	}
	return need <= total.Burst
}

// over reports whether the turn has ended, or one of the turn has nothing to
// send any more.
func (s *slots) over(now time.Time, total share, busy []asker) bool {
	var need float64
	n := 0
	for _, a := range busy {
		if slices.Contains(s.turn, a.id) {
			need = max(need, a.need)
			n++
		}
	}
	if n == 0 || n < len(s.turn) {
		return true
	}
	return !s.begun.IsZero() && now.Sub(s.begun) >= slotOf(need*float64(n)/(total.Rate*(1-spare)))
}

// slotOf is the length of a turn in which a record takes so many seconds.
func slotOf(each float64) time.Duration {
	records := max(1, math.Ceil(slotLeast.Seconds()/each))
	return slotSlack + time.Duration(min(records*each+each/50, math.MaxInt32)*float64(time.Second))
}

// next gives the turn to as many as fit, from the one after the last.
func (s *slots) next(total share, busy []asker) {
	first := slices.IndexFunc(busy, func(a asker) bool { return a.id > s.last })
	s.turn, s.begun = nil, time.Time{}
	var need float64
	for i := range busy {
		a := busy[(max(first, 0)+i)%len(busy)]
		if need+a.need > total.Burst {
			break
		}
		need += a.need
		s.turn = append(s.turn, a.id)
		s.last = a.id
	}
}

// rounding is what sums of shares may be off by.
const rounding = 1e-6

// granted is told what the turn was given; it begins once all can send.
func (s *slots) granted(now time.Time, parts, given map[string]share) {
	if s.turn == nil || !s.begun.IsZero() {
		return
	}
	for _, id := range s.turn {
		if short := parts[id].minus(given[id]); short.Burst > parts[id].Burst*rounding || short.Rate > parts[id].Rate*rounding {
			return
		}
	}
	s.begun = now
}
