package delivery

import (
	"cmp"
	"context"
	"slices"
	"time"

	"holdfast.internal/internal/delivery/offsets"
)

// A record that did not fail is moved to a tier for three reasons only: the
// metadata of commits runs out of room for what is finished behind it; memory is
// full of records that may not be sent, and nothing else could be read; or the
// limits cut its attempt short, for longer than it may stay ([Worker.putOff]). It
// spends no attempt, is due when it would have gone, and keeps its place in the
// order of its key, wherever it lies.
const (
	maxMetadata  = offsets.MaxMetadata / 2
	spillAtOnce  = 256
	blockedShare = 2 // of what memory holds, one part in this many must be blocked
	// blockedSample is how many are looked at before all are: under full load
	// memory is full for the best of reasons, and the look costs time.
	blockedSample = 256
)

// spill moves what stands in the way to a tier, and what follows a dead letter
// behind it.
func (w *Worker) spill(ctx context.Context) {
	for _, f := range w.sched.toFollow() {
		f.task.env.Park(f.behind)
		f.task.env.Due = time.Time{}
		w.move(ctx, f.task, w.sched.layout.letters)
	}
	for _, t := range w.sched.toSpill() {
		w.setAside(ctx, t)
	}
}

// toSpill takes the tasks that are to be moved.
func (s *scheduler) toSpill() []*task {
	if s.layout.tiers == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	var out []*task
	for _, sh := range s.shards {
		if !sh.open || sh.gone {
			continue
		}
		for _, p := range sh.parts {
			// What is finished of the dead letters is told by their dispositions too.
			if p != nil && p.slot != s.layout.letters && p.finished.Size() > maxMetadata {
				out = append(out, s.obstacles(sh, p, spillAtOnce-len(out))...)
			}
		}
	}
	if s.paused && len(out) == 0 {
		out = s.blocked()
	}
	for _, t := range out {
		s.uproot(t)
	}
	return out
}

// uproot takes a task that waits on its way to another topic.
func (s *scheduler) uproot(t *task) {
	s.unqueueOne(t)
	s.release(t)
	s.lift(t)
	t.moving = true
	t.moves++
}

// obstacles are the waiting records of a partition with the lowest offsets:
// those that keep its committed offset back.
func (s *scheduler) obstacles(sh *shard, p *part, limit int) []*task {
	var found []*task
	for i, t := range sh.tasks.all() {
		e := sh.index.at(i)
		if e.slot() == p.slot && s.waits(t, e) {
			found = append(found, t)
		}
	}
	offset := func(t *task) int64 { return sh.index.at(t.id).offset() }
	slices.SortFunc(found, func(a, b *task) int { return cmp.Compare(offset(a), offset(b)) })
	found = found[:min(limit, len(found))]
	if len(found) > 0 || p.slot == slotSource {
		return found
	}
	// A record of a tier that is not in memory is read first; in memory it can move.
	first := none
	sh.index.each(func(i id, e *entry) {
		if e.slot() == p.slot && e.state() == stored && e.due != never && (first == none || e.offset() < sh.index.at(first).offset()) {
			first = i
		}
	})
	if first != none {
		sh.index.at(first).set(wanted)
		sh.refetch = append(sh.refetch, first)
		poke(s.fetch)
	}
	return nil
}

// waits reports whether a record stands still for long: its time is far, it
// follows one of its key that waits, or its tenant may not send.
func (s *scheduler) waits(t *task, e *entry) bool {
	switch e.state() {
	case held:
		return true
	case queued:
		ok, wait := t.tenant.allowed(time.Now(), nil)
		return !ok && wait > time.Second || time.Until(s.hold.until) > time.Second
	default:
		return false
	}
}

// blocked are records of the source that memory holds and that may not be
// sent, if such records, of tiers too, are the greater part of what it holds.
func (s *scheduler) blocked() []*task {
	if time.Until(s.hold.until) > 0 || !s.letters.open() {
		return nil // nothing else could be sent either
	}
	var found []*task
	seen, wait := 0, 0
	for _, sh := range s.shards {
		if !sh.open || sh.gone {
			continue
		}
		for i, t := range sh.tasks.all() {
			if e := sh.index.at(i); s.waits(t, e) && !s.behindLive(sh, i) {
				wait++
				if e.slot() == slotSource {
					found = append(found, t)
				}
			}
			if seen++; seen == blockedSample && 2*blockedShare*wait < seen {
				return nil
			}
		}
	}
	if blockedShare*wait < s.held {
		return nil
	}
	// The latest first: what is sent soonest stays in memory.
	slices.SortFunc(found, func(a, b *task) int {
		return cmp.Compare(b.shard.index.at(b.id).origin, a.shard.index.at(a.id).origin)
	})
	return found[:min(spillAtOnce, len(found))]
}

// behindLive reports whether the record follows one that is being sent or may
// be: its turn comes without anybody's help.
func (s *scheduler) behindLive(sh *shard, i id) bool {
	e := sh.index.at(i)
	if e.key == 0 {
		return false
	}
	first := sh.index.at(sh.index.first(e.key))
	switch first.state() {
	case flying, wanted:
		return true
	case queued:
		t := sh.tasks.at(sh.index.first(e.key))
		ok, wait := t.tenant.allowed(time.Now(), nil)
		return ok || wait <= time.Second
	default:
		return false
	}
}

// unqueueOne takes a task out of its tenant's queue, if it is there.
func (s *scheduler) unqueueOne(t *task) {
	if t.shard.index.at(t.id).state() == queued {
		s.unqueue(func(other *task) bool { return other == t })
	}
}

// setAside moves a record that did not fail to the first tier, or keeps it in
// the later one or the redrive topic where it lies; it is due when it waits for.
func (w *Worker) setAside(ctx context.Context, t *task) {
	due := t.at
	if due.Before(time.Now()) {
		due = time.Time{}
	}
	t.env.Due = due
	w.move(ctx, t, max(t.slot, w.sched.layout.tierSlot(0)))
}
