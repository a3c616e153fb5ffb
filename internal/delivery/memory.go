package delivery

import (
	"context"
	"time"
)

// Bounds on what a worker holds in memory.
const (
	maxHeldRecords = 8192
	maxHeldBytes   = 48 << 20
	maxKeptBytes   = 16 << 20 // of records that wait in a tier; beyond, they are read again
	maxRefetch     = 4096     // records of a shard that are to be read again
	refetchPause   = 20 * time.Millisecond
)

// pauseAfter is how long memory is full before the source is paused. A pause
// drops what the client has read ahead, which is read and decompressed again
// afterwards: a worker that is merely slower than its source would do so with
// most of its backlog. Until the pause nothing is polled, tiers included.
const pauseAfter = time.Second

// mayKeep reports whether a record that lies in a tier may stay in memory too:
// not where it would keep the source from being read. What lies behind a dead
// letter waits until somebody decides, which may be never.
func (s *scheduler) mayKeep(slot int) bool {
	return slot != s.layout.letters && !s.paused && s.keptBytes < maxKeptBytes && s.held < maxHeldRecords/2
}

// mayHold reports whether a record that is read from a topic now may be held in
// memory until it is sent. Of the others, which are most of what an outage
// leaves in the tiers, only the index is filled.
func (s *scheduler) mayHold(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.layout.slots[topic]
	return slot == slotSource || s.mayKeep(slot)
}

// pressure notices when memory is full, and when half of it is free again.
func (s *scheduler) pressure() {
	switch {
	case s.fullUntil == nil && (s.held >= maxHeldRecords || s.bytes >= maxHeldBytes || s.outstanding >= s.cfg.MaxOutstanding):
		s.fullUntil = make(chan struct{})
	case s.fullUntil != nil && s.held <= maxHeldRecords/2 && s.bytes <= maxHeldBytes/2 && s.outstanding < s.cfg.MaxOutstanding:
		close(s.fullUntil)
		s.fullUntil = nil
		poke(s.relieved)
	}
}

// full returns what is closed when memory is free again, and how long to wait
// for that; nil if it is, or if the source is paused already.
func (s *scheduler) full() (room <-chan struct{}, patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.paused:
		return nil, 0
	case s.flying == 0 && !s.placing(): // nothing will make room
		return s.fullUntil, 0
	}
	return s.fullUntil, pauseAfter
}

// placing reports whether a shard begins by itself in a moment: what a new sink
// reads until the place where it begins is committed fills memory more than once.
func (s *scheduler) placing() bool {
	for _, sh := range s.shards {
		for _, p := range sh.parts {
			if p != nil && p.unplaced {
				return true
			}
		}
	}
	return false
}

// pause notes that the source is not read, if memory is full yet. It gets no
// further then, so shards open with what is known.
func (s *scheduler) pause() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fullUntil == nil {
		return false
	}
	s.paused = true
	for _, sh := range s.shards {
		s.tryOpen(sh)
	}
	return true
}

// unpause reports whether the source is to be read again.
func (s *scheduler) unpause() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.paused || s.fullUntil != nil {
		return false
	}
	s.paused = false
	return true
}

// awaitRoom waits while memory is full, and pauses the source if that lasts.
// From then on tiers are read alone: of most of their records only an index
// entry stays in memory.
func (w *Worker) awaitRoom(ctx context.Context) {
	room, patience := w.sched.full()
	if room == nil {
		return
	}
	lasts := time.NewTimer(patience)
	defer lasts.Stop()
	select {
	case <-room:
	case <-ctx.Done():
	case <-lasts.C:
		w.client.PauseFetchTopics(w.cfg.Source)
		if !w.sched.pause() {
			w.client.ResumeFetchTopics(w.cfg.Source)
		}
	}
}

// resumeLoop reads the source again when memory is free.
func (w *Worker) resumeLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.sched.relieved:
		}
		if w.sched.unpause() {
			w.client.ResumeFetchTopics(w.cfg.Source)
		}
	}
}

// keep holds a record in memory.
func (s *scheduler) keep(sh *shard, i id, a *arrival) {
	t := &task{id: i, shard: sh, env: a.env, size: a.env.Size(), at: a.due, owner: a.tenant}
	sh.tasks.put(i, t)
	sh.index.at(i).set(held)
	s.held++
	s.bytes += t.size
	if sh.index.at(i).slot() != slotSource {
		t.kept = true
		s.keptBytes += t.size
	}
	s.stays(t)
}

// forget drops what is in memory of an entry.
func (s *scheduler) forget(sh *shard, i id) {
	t := sh.tasks.at(i)
	if t == nil {
		return
	}
	sh.tasks.drop(i)
	s.held--
	s.bytes -= t.size
	s.release(t)
	s.unqueueOne(t)
	sh.index.at(i).set(stored)
}

func (s *scheduler) release(t *task) {
	if t.kept {
		t.kept = false
		s.keptBytes -= t.size
	}
}
