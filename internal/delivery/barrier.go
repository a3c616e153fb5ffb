package delivery

import (
	"math"

	"holdfast.internal/internal/growth"
)

// barrier keeps records of the source back while it has grown and what was
// written before is not settled. They are dropped as they come and read again
// once the barrier falls.
type barrier struct {
	cut *growth.Cut // nil: nobody has said yet where the source stood
}

// limit is the first offset of a partition that is kept back; next is the one
// after the newest that was taken.
func (b *barrier) limit(num int32, next int64) int64 {
	switch {
	case b.cut == nil:
		return next
	case num >= b.cut.From:
		return 0
	case b.cut.Stage == growth.Learning:
		return math.MaxInt64
	}
	return b.cut.Ends[num]
}

func (b *barrier) same(other *barrier) bool {
	if b == nil || other == nil || b.cut == nil || other.cut == nil {
		return b == other || b != nil && other != nil && b.cut == other.cut
	}
	return b.cut.Stage == other.cut.Stage && b.cut.From == other.cut.From && b.cut.To == other.cut.To
}

// bar asks for another barrier, nil for none. It takes effect at the next
// [scheduler.pass].
func (s *scheduler) bar(b *barrier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.changes = b, s.changes || !b.same(s.barrier)
}

// barNew asks for a barrier where there is none.
func (s *scheduler) barNew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.barrier == nil && !s.changes {
		s.asked, s.changes = &barrier{}, true
	}
}

// barred reports whether there is a barrier, or one is asked for.
func (s *scheduler) barred() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.barrier != nil || s.changes
}

// pass puts the barrier in place that was asked for, and returns where to read
// again what the one before has kept back, by partition. Whoever reads calls it,
// so that no record is on its way meanwhile.
func (s *scheduler) pass() (again map[int32]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.changes {
		return nil
	}
	s.barrier, s.changes = s.asked, false
	again = map[int32]int64{}
	for num, sh := range s.shards {
		if p := sh.parts[slotSource]; p != nil && p.withheld >= 0 {
			again[num], p.withheld = p.withheld, -1
		}
	}
	return again
}

// withhold divides arrivals of the source into those that may come in and
// those from the limit on; the first of these is noted. All before the limit
// was read then, whatever it was.
func (s *scheduler) withhold(p *part, arrivals []arrival) (in []arrival, limit int64) {
	limit = s.barrier.limit(p.shard.num, p.finished.Next())
	// What lies in a tier was taken before it was known where to stop. The shard
	// opens only when the source was read as far as that.
	limit = max(limit, p.shard.reach+1, p.finished.Next())
	for i := range arrivals {
		if arrivals[i].offset >= limit {
			if p.withheld < 0 {
				p.withheld = arrivals[i].offset
			}
			return arrivals[:i], limit
		}
	}
	return arrivals, -1
}

// reachOver reads again what was kept back where a tier turned out to hold a
// record from beyond: it was taken by an owner who did not know of the barrier.
func (s *scheduler) reachOver(sh *shard) {
	if p := sh.parts[slotSource]; s.barrier != nil && !s.changes && p != nil && p.withheld >= 0 && p.withheld <= sh.reach {
		s.asked, s.changes = s.barrier, true
	}
}
