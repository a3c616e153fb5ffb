package delivery

import (
	"context"
	"slices"

	"holdfast.internal/internal/delivery/offsets"
)

// assign starts to track a partition.
func (s *scheduler) assign(life context.Context, topic string, num, epoch int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[num]
	if sh == nil {
		sh = newShard(life, num, epoch, len(s.layout.names))
		context.AfterFunc(sh.sends, s.calls.look) //nolint:contextcheck // the calls carry none
		s.shards[num] = sh
		s.owned.Store(int64(len(s.shards)))
	}
	slot := s.layout.slots[topic]
	sh.parts[slot] = &part{topic: topic, slot: slot, shard: sh, end: -1, ahead: make(map[int64]struct{}), withheld: -1}
}

// committed tells where a partition was committed, and what its metadata says
// is finished beyond. The offset is -1 where nothing was. The error is that of
// metadata nobody can read: at worst, records are sent again.
func (s *scheduler) committed(topic string, num int32, offset int64, metadata string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[num]
	if sh == nil || sh.gone || sh.parts[s.layout.slots[topic]] == nil {
		return nil
	}
	var err error
	p := sh.parts[s.layout.slots[topic]]
	p.finished, err = offsets.New(offset, metadata)
	p.unplaced = offset < 0 // until beginAt says where, and that is committed
	s.tryOpen(sh)
	return err
}

// beginAt starts a partition that was never committed at an offset. Nothing of
// its shard is sent before that is committed, see placed.
func (s *scheduler) beginAt(topic string, num int32, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.part(topic, num); p != nil {
		p.finished, _ = offsets.New(offset, "") // no metadata, no error
		p.finished.Dirty()
	}
}

// placed notes that a commit was made: what it says begins there for good, and
// may be sent.
func (s *scheduler) placed(c commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, nums := range c {
		for num := range nums {
			if p := s.part(topic, num); p != nil && p.unplaced {
				p.unplaced = false
				s.tryOpen(p.shard)
			}
		}
	}
}

// unplaced reports whether a partition is assigned of which it is not known, or
// not committed, where it begins.
func (s *scheduler) unplaced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		if slices.ContainsFunc(sh.parts, func(p *part) bool { return p != nil && (p.finished == nil || p.unplaced) }) {
			return true
		}
	}
	return false
}

// ended tells where a partition ended after its assignment; 0 for an empty one.
func (s *scheduler) ended(topic string, num int32, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[num]
	if sh == nil || sh.gone || sh.parts[s.layout.slots[topic]] == nil {
		return
	}
	if p := sh.parts[s.layout.slots[topic]]; p.end < 0 {
		p.end = end
	}
	s.tryOpen(sh)
}

// unmeasured lists the partitions whose ends are not known.
func (s *scheduler) unmeasured() map[string][]int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := map[string][]int32{}
	for num, sh := range s.shards {
		for slot, p := range sh.parts {
			if p != nil && slot != slotSource && p.end < 0 {
				open[p.topic] = append(open[p.topic], num)
			}
		}
	}
	return open
}

// partial reports whether some topics of a shard are assigned and not all.
func (s *scheduler) partial() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		if slices.Contains(sh.parts, nil) {
			return true
		}
	}
	return false
}

// tryOpen lets a shard send once all that lay in its tiers is known.
func (s *scheduler) tryOpen(sh *shard) {
	if sh.open || sh.gone || !s.informed || !sh.caughtUp(s.paused) {
		return
	}
	sh.open = true
	s.closeDecided(sh)
	poke(s.astray)
	sh.index.each(func(i id, _ *entry) { s.consider(sh, i) })
}

// revoke gives shards up: nothing of them is sent any more. It returns when
// nothing of them is in flight, or ctx ends; and what to commit last.
func (s *scheduler) revoke(ctx context.Context, lost map[string][]int32) commit {
	stop := context.AfterFunc(ctx, func() { s.mu.Lock(); s.quiet.Broadcast(); s.mu.Unlock() })
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []*shard
	for _, nums := range lost {
		for _, num := range nums {
			if sh := s.shards[num]; sh != nil && !sh.gone {
				sh.gone = true
				gone = append(gone, sh)
			}
		}
	}
	s.unqueue(func(t *task) bool { return t.shard.gone })
	last := commit{}
	for _, sh := range gone {
		for sh.active > 0 && ctx.Err() == nil {
			s.quiet.Wait()
		}
		last.add(sh)
		s.giveUp(sh)
	}
	s.pressure()
	return last
}

// unqueue takes tasks out of their tenants' queues.
func (s *scheduler) unqueue(gone func(*task) bool) {
	turns := s.turns[:0]
	for _, tn := range s.turns {
		tn.queue.drop(gone)
		if tn.queue.len() > 0 {
			turns = append(turns, tn)
		}
	}
	clear(s.turns[len(turns):])
	s.turns = turns
}

func (s *scheduler) giveUp(sh *shard) {
	for _, t := range sh.tasks.all() {
		s.held--
		s.bytes -= t.size
		s.release(t)
	}
	s.outstanding -= sh.index.live
	sh.parts, sh.tasks, sh.due, sh.index = nil, tasks{}, nil, newIndex()
	sh.stopSends()
	delete(s.shards, sh.num)
	s.owned.Store(int64(len(s.shards)))
}

// waitIdle returns when nothing is in flight, or ctx ends.
func (s *scheduler) waitIdle(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { s.mu.Lock(); s.quiet.Broadcast(); s.mu.Unlock() })
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		for sh.active > 0 && ctx.Err() == nil {
			s.quiet.Wait()
		}
	}
}

// position is the offset after the newest record that was read of a partition.
func (s *scheduler) position(topic string, num int32) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.part(topic, num)
	if p == nil {
		return 0, false
	}
	return p.finished.Next(), true
}

// skipTo gives up what lies before next and was not read. It reports whether
// the partition is this worker's.
func (s *scheduler) skipTo(topic string, num int32, next int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.part(topic, num)
	if p == nil {
		return false
	}
	if p.finished.Next() < next {
		p.finished.Skip(next - 1)
	}
	s.tryOpen(p.shard)
	return true
}

// ownsNumber reports whether a partition number is this worker's.
func (s *scheduler) ownsNumber(num int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[num]
	return sh != nil && !sh.gone
}

// part returns a partition that is owned and whose offset is known, or nil.
func (s *scheduler) part(topic string, num int32) *part {
	sh := s.shards[num]
	if sh == nil || sh.gone {
		return nil
	}
	if p := sh.parts[s.layout.slots[topic]]; p != nil && p.finished != nil {
		return p
	}
	return nil
}
