package delivery

import (
	"cmp"
	"maps"
	"slices"

	"holdfast.internal"
	"holdfast.internal/internal/disposition"
)

// With on_dead_letter: park the dead-letter topic is one more place where
// records of a key lie in order. A dead letter leads its key and is never due;
// what follows it in the source is moved behind it. A person who redrives,
// skips or discards the letter lets the next one go. Whatever leaves the topic
// without a person is released: that is written down before its offset counts
// as finished, so that lists do not show it and no later owner sends it again.

// letterAt is a place in the sink's dead-letter topic.
type letterAt struct {
	num    int32
	offset int64
}

// release is a letter that has left and whose disposition is not written yet.
// It counts as under way in its shard.
type release struct {
	shard  *shard
	offset int64
}

// vacate notes that a record lies elsewhere now, or nowhere.
func (s *scheduler) vacate(sh *shard, slot int, offset int64) {
	if slot != s.layout.letters {
		sh.parts[slot].finish(offset)
		return
	}
	sh.active++
	s.released = append(s.released, release{sh, offset})
	poke(s.leaving)
}

// leavers takes the letters whose release is to be written.
func (s *scheduler) leavers(limit int) []release {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(limit, len(s.released))
	out := slices.Clone(s.released[:n])
	s.released = s.released[:copy(s.released, s.released[n:])]
	return out
}

// left notes that releases were written.
func (s *scheduler) left(list []release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range list {
		if r.shard.parts != nil {
			r.shard.parts[s.layout.letters].finish(r.offset)
		}
		s.calm(r.shard)
	}
}

// decision is what somebody decided about a dead letter.
type decision struct {
	letterAt
	state disposition.State
}

// decide takes decisions in and lets go what waits behind the letters that
// they close. A redriven letter stays until its copy from the redrive topic
// takes its place: what follows would overtake that one. It reports whether it
// is time to forget some.
func (s *scheduler) decide(list []decision) (many bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	touched := map[*shard]struct{}{}
	for _, d := range list {
		if !d.state.Closed() {
			delete(s.decided, d.letterAt)
			continue
		}
		s.decided[d.letterAt] = d.state
		sh := s.shards[d.num]
		if sh == nil || sh.gone || !sh.open || sh.parts[s.layout.letters].finished.Finished(d.offset) {
			continue
		}
		if touched[sh] = struct{}{}; d.state == disposition.Redriven {
			poke(s.astray)
		}
	}
	for sh := range touched {
		s.closeDecided(sh)
	}
	return len(s.decided) >= s.manyDecided
}

// forgetDecided forgets decisions about letters below what is settled, by
// partition. It is time again when there are twice as many as are left.
func (s *scheduler) forgetDecided(settled map[int32]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.decided, func(at letterAt, _ disposition.State) bool { return at.offset < settled[at.num] })
	s.manyDecided = max(fewDecisions, 2*len(s.decided))
}

// inform notes that all decisions were read that were there at the start.
func (s *scheduler) inform() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.informed = true
	for _, sh := range s.shards {
		s.tryOpen(sh)
	}
}

// closeDecided drops the letters of an open shard that a person closed or a
// former owner released. What is in flight is left to its verdict.
func (s *scheduler) closeDecided(sh *shard) {
	if s.layout.letters < 0 {
		return
	}
	var closed []id
	sh.index.each(func(i id, e *entry) {
		if e.state() != flying && s.closes(sh, e) {
			closed = append(closed, i)
		}
	})
	for _, i := range closed {
		s.dropLetter(sh, i)
	}
}

// closes reports whether a decision takes the entry out of its key's way.
func (s *scheduler) closes(sh *shard, e *entry) bool {
	if e.slot() != s.layout.letters {
		return false
	}
	state := s.decided[letterAt{sh.num, e.offset()}]
	return state == disposition.Discarded || state == disposition.Skipped || state == disposition.Released
}

// dropDecided drops an entry of an open shard if a decision closes it, and
// reports whether it did. Before the shard is open the entry stays: it tells
// older copies of the record from news.
func (s *scheduler) dropDecided(sh *shard, i id) bool {
	if !sh.open || !s.closes(sh, sh.index.at(i)) {
		return false
	}
	s.dropLetter(sh, i)
	return true
}

// dropLetter forgets a letter that is closed.
func (s *scheduler) dropLetter(sh *shard, i id) {
	sh.parts[s.layout.letters].finish(sh.index.at(i).offset())
	s.drop(sh, i)
}

// follower is a record that is to wait behind a dead letter.
type follower struct {
	task   *task
	behind holdfast.Coordinates
}

// followAtOnce bounds how many followers are on their way at a time, so that
// other keys get their share of the broker.
const followAtOnce = 2048

// toFollow takes the records of the source whose key waits for a dead letter.
// Those of tiers and of the redrive topic wait where they are.
func (s *scheduler) toFollow() []follower {
	if s.layout.letters < 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	var out []follower
	for _, sh := range s.shards {
		if !sh.open || sh.gone {
			continue
		}
		for i, t := range sh.tasks.all() {
			e := sh.index.at(i)
			if e.key == 0 || e.slot() != slotSource || e.state() != held {
				continue
			}
			if first := sh.index.at(sh.index.first(e.key)); first.due == never {
				out = append(out, follower{t, holdfast.Coordinates{
					Topic: s.layout.names[s.layout.letters], Partition: sh.num, Offset: first.offset(),
				}})
			}
		}
	}
	origin := func(f follower) int64 { return f.task.shard.index.at(f.task.id).origin }
	slices.SortFunc(out, func(a, b follower) int { return cmp.Compare(origin(a), origin(b)) })
	out = out[:min(followAtOnce, len(out))]
	for _, f := range out {
		s.uproot(f.task)
	}
	return out
}

// strays are the letters that were redriven and still lie where they were: most
// will be met on the redrive topic any moment.
func (s *scheduler) strays() []release {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []release
	for _, sh := range s.shards {
		if !sh.open || sh.gone {
			continue
		}
		sh.index.each(func(_ id, e *entry) {
			if s.redriven(sh, e) {
				out = append(out, release{sh, e.offset()})
			}
		})
	}
	return out
}

func (s *scheduler) redriven(sh *shard, e *entry) bool {
	return e.slot() == s.layout.letters && e.state() != flying && s.decided[letterAt{sh.num, e.offset()}] == disposition.Redriven
}

// closeStrays closes the letters whose redriven copy was not found: the redrive
// topic was read up to an end that was measured after they were redriven, so
// the copy was delivered, or went on, before. It returns those for which that
// is not known yet. ends says 0 of an empty partition.
func (s *scheduler) closeStrays(list []release, ends map[int32]int64) (left []release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.layout.letters - 1 // the redrive topic's
	passed := map[letterAt]bool{}
	touched := map[*shard]struct{}{}
	for _, r := range list {
		switch end, ok := ends[r.shard.num]; {
		case r.shard.gone || !ok:
		case end > 0 && r.shard.parts[slot].finished.Next() < end:
			left = append(left, r)
		default:
			passed[letterAt{r.shard.num, r.offset}] = true
			touched[r.shard] = struct{}{}
		}
	}
	for sh := range touched {
		var closed []id
		sh.index.each(func(i id, e *entry) {
			if passed[letterAt{sh.num, e.offset()}] && s.redriven(sh, e) {
				closed = append(closed, i)
			}
		})
		for _, i := range closed {
			s.dropLetter(sh, i)
		}
	}
	return left
}
