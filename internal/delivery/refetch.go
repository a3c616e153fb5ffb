package delivery

import "time"

// refetchBatch is how many records are asked for at once.
const refetchBatch = 512

// wish is one record to be read again: where it lies.
type wish struct {
	want
	offset int64
}

// wishes takes what is to be read next, by topic and partition.
func (s *scheduler) wishes(limit int) map[string]map[int32][]wish {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]map[int32][]wish{}
	n, picked := 0, 0
	for ; n < len(s.refetch) && picked < limit; n++ {
		w := s.refetch[n]
		if w.shard.gone || w.shard.index.at(w.id).state() != wanted {
			continue
		}
		picked++
		e := w.shard.index.at(w.id)
		topic := s.layout.names[e.slot()]
		if out[topic] == nil {
			out[topic] = map[int32][]wish{}
		}
		out[topic][w.shard.num] = append(out[topic][w.shard.num], wish{w, e.offset()})
	}
	s.refetch = s.refetch[:copy(s.refetch, s.refetch[n:])]
	return out
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
			s.refetch = append(s.refetch, w.want)
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
