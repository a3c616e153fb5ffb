package delivery

import (
	"maps"
	"slices"
	"time"

	"holdfast.internal"
)

const (
	// refetchBatch is how many records are asked for at once.
	refetchBatch = 512
	// refetchTurn is how many times in a row a shard is asked first: what lies
	// side by side in a tier is read at once.
	refetchTurn = maxRefetch / refetchBatch
)

// wish is one record to be read again: where it lies.
type wish struct {
	want
	offset int64
}

// wishes takes what is to be read next of partitions that may be asked, of one
// shard after the other; each is the first for a while.
func (s *scheduler) wishes(limit int, mayAsk map[holdfast.Coordinates]bool) map[holdfast.Coordinates][]wish {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[holdfast.Coordinates][]wish{}
	nums := slices.Sorted(maps.Keys(s.shards))
	s.rereads++
	for i, n := 0, 0; i < len(nums) && n < limit; i++ {
		sh := s.shards[nums[(i+s.rereads/refetchTurn)%len(nums)]]
		stays := sh.refetch[:0]
		for _, i := range sh.refetch {
			e := sh.index.at(i)
			at := holdfast.Coordinates{Topic: s.layout.names[e.slot()], Partition: sh.num}
			switch {
			case e.state() != wanted:
			case n == limit || !mayAsk[at]:
				stays = append(stays, i)
			default:
				out[at] = append(out[at], wish{want{sh, i}, e.offset()})
				n++
			}
		}
		sh.refetch = stays
	}
	return out
}

// numbers are the partition numbers that are this worker's.
func (s *scheduler) numbers() []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.shards))
}

// fetched brings a record that was read again to its entry, which may have
// moved on meanwhile.
func (s *scheduler) fetched(w wish, a *arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.shard.gone {
		return
	}
	e := w.shard.index.at(w.id)
	if e.state() != wanted || e.offset() != w.offset {
		return
	}
	a.due = s.timeOf(e.due)
	if e.due == 0 {
		a.due = time.Time{}
	}
	s.keep(w.shard, w.id, a)
	s.consider(w.shard, w.id)
}

// missing notes that records were not read; they are asked for again.
func (s *scheduler) missing(list []wish) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range list {
		if !w.shard.gone && w.shard.index.at(w.id).state() == wanted {
			w.shard.refetch = append(w.shard.refetch, w.id)
		}
	}
}

// roomToFetch is how many records are to be asked for at once.
func (s *scheduler) roomToFetch() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(refetchBatch, s.room())
}

// room is how many records may be read again and wait to be sent.
func (s *scheduler) room() int {
	if s.bytes >= 2*maxHeldBytes {
		return 0
	}
	queued := 0
	for _, tn := range s.turns {
		queued += tn.queue.len()
	}
	return max(0, maxHeldRecords+refetchBatch-queued)
}

// alsoDue picks, of the records that a broker sent along with one that was
// asked for, those that may be sent now too: when much of a tier is due at
// once, each of its batches is read only once.
func (s *scheduler) alsoDue(w wish, along []arrival) []wish {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := w.shard
	if sh.gone || !sh.open {
		return nil
	}
	slot, now, room := sh.index.at(w.id).slot(), time.Now(), s.room()
	var found []wish
	for _, a := range along {
		if len(found) >= room {
			break
		}
		if a.env == nil {
			continue
		}
		key, origin := s.keyOf(a.env), s.originOf(a.env)
		i := sh.index.first(key)
		if key == 0 {
			i = sh.index.find(key, origin)
		}
		if i == none {
			continue
		}
		e := sh.index.at(i)
		mayGo := e.state() == wanted || e.state() == stored && e.due != never && !s.timeOf(e.due).After(now)
		if e.origin == origin && e.slot() == slot && e.offset() == a.offset && mayGo {
			e.set(wanted)
			found = append(found, wish{want{sh, i}, a.offset})
		}
	}
	return found
}

// want is an entry whose record has to be read from its topic.
type want struct {
	shard *shard
	id    id
}
