package delivery

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"holdfast.internal/internal/record"
)

// Bounds on what a worker holds.
const (
	maxHeldRecords    = 8192
	maxHeldBytes      = 64 << 20
	maxWaitingRecords = 256 // per tier partition, beyond which it is paused
	maxWaitingBytes   = 1 << 20
)

// task is one record that this worker has read and not settled.
type task struct {
	env  *record.Envelope
	part *partition
	lane *lane
	at   time.Time // when it may be sent; zero: now
	size int
	// repeats counts throttles, quick repeats and waits for a schema: none of
	// them is an attempt.
	waits int
}

func (t *task) offset() int64 { return t.env.At.Offset }

// lane holds the records of one key, the one in flight first.
type lane struct {
	key   string
	keyed bool
	queue []*task
}

// scheduler decides what may be sent next: one record per lane, lanes in turn,
// nothing before its time, nothing of a partition that is gone.
type scheduler struct {
	ordered bool

	mu      sync.Mutex
	work    sync.Cond // a lane became ready, or closed
	room    sync.Cond // held fell, or closed
	parts   map[string]map[int32]*partition
	lanes   map[string]*lane
	ready   []*lane
	timed   timedTasks
	changed chan struct{} // the head of timed changed
	held    int
	bytes   int
	closed  bool
}

func newScheduler(ordered bool) *scheduler {
	s := &scheduler{
		ordered: ordered,
		parts:   make(map[string]map[int32]*partition),
		lanes:   make(map[string]*lane),
		changed: make(chan struct{}, 1),
	}
	s.work.L, s.room.L = &s.mu, &s.mu
	return s
}

// assign starts to track a partition.
func (s *scheduler) assign(p *partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts[p.topic] == nil {
		s.parts[p.topic] = make(map[int32]*partition)
	}
	s.parts[p.topic][p.num] = p
}

// partition returns the assignment, nil if there is none.
func (s *scheduler) partition(topic string, num int32) *partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[topic][num]
}

// add takes a record that was read; due is zero for one that may go at once. A
// copy that was met before is finished thereby. It reports whether the
// partition is to be paused, because enough of it waits for its time.
func (s *scheduler) add(p *partition, env *record.Envelope, due time.Time) (pause bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.gone() {
		return false
	}
	p.add(env.At.Offset)
	if env.Hop > 0 && p.seen.meet(env.Copy()) {
		p.finish(env.At.Offset)
		return false
	}
	t := &task{env: env, part: p, at: due, size: len(env.Payload) + len(env.Event.Key) + 256}
	if due.IsZero() {
		s.enqueue(t)
		return false
	}
	p.waiting++
	p.waitingBytes += t.size
	s.schedule(t)
	if !p.paused && (p.waiting >= maxWaitingRecords || p.waitingBytes >= maxWaitingBytes) {
		p.paused = true
		return true
	}
	return false
}

// enqueue puts t at the end of its key's lane.
func (s *scheduler) enqueue(t *task) {
	s.held++
	s.bytes += t.size
	key := t.env.Event.Key
	if !s.ordered || key == nil {
		t.lane = &lane{queue: []*task{t}}
		s.wake(t.lane)
		return
	}
	l := s.lanes[string(key)]
	if l == nil {
		l = &lane{key: string(key), keyed: true}
		s.lanes[l.key] = l
	}
	t.lane = l
	l.queue = append(l.queue, t)
	if len(l.queue) == 1 {
		s.wake(l)
	}
}

func (s *scheduler) wake(l *lane) {
	s.ready = append(s.ready, l)
	s.work.Signal()
}

// next returns a record that may be sent now, nil when the scheduler is closed.
func (s *scheduler) next() *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.ready) == 0 && !s.closed {
			s.work.Wait()
		}
		if s.closed {
			return nil
		}
		l := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		for len(l.queue) > 0 && l.queue[0].part.gone() {
			s.drop(l.queue[0])
			l.queue = l.queue[1:]
		}
		if len(l.queue) == 0 {
			s.retire(l)
			continue
		}
		t := l.queue[0]
		t.part.active++
		return t
	}
}

// retire forgets an empty lane.
func (s *scheduler) retire(l *lane) {
	if l.keyed {
		delete(s.lanes, l.key)
	}
}

// drop forgets what t held in memory.
func (s *scheduler) drop(t *task) {
	s.held--
	s.bytes -= t.size
	s.room.Signal()
}

// finish settles t: it was delivered, or lies safely in its next topic.
func (s *scheduler) finish(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.part.closed {
		t.part.finish(t.offset())
	}
	s.leave(t)
}

// abandon gives t up without settling it: its partition is gone or the worker
// stops, and whoever owns the partition next reads it again.
func (s *scheduler) abandon(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(t)
}

// owns reports whether t's partition is still this worker's.
func (s *scheduler) owns(t *task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !t.part.closed
}

func (s *scheduler) leave(t *task) {
	t.part.active--
	s.drop(t)
	s.work.Broadcast() // revoke waits for active, too
	l := t.lane
	l.queue = l.queue[1:]
	if len(l.queue) == 0 {
		s.retire(l)
		return
	}
	s.wake(l)
}

// again puts t back at the head of its lane, to be sent in d. The lane waits.
func (s *scheduler) again(t *task, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.part.active--
	s.work.Broadcast()
	t.at = time.Now().Add(d)
	s.schedule(t)
}

func (s *scheduler) schedule(t *task) {
	heap.Push(&s.timed, t)
	if s.timed[0] == t {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// runTimers moves what is due into its lane, until ctx ends. resume is called
// for a tier partition that has room again.
func (s *scheduler) runTimers(ctx context.Context, resume func(topic string, num int32)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, room := s.release(time.Now())
		for _, p := range room {
			resume(p.topic, p.num)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-timer.C:
		}
	}
}

// release moves every due record into its lane. It returns how long to wait
// for the next one and which paused partitions have room.
func (s *scheduler) release(now time.Time) (wait time.Duration, room []*partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.timed) > 0 {
		t := s.timed[0]
		if d := t.at.Sub(now); d > 0 && !t.part.gone() {
			return d, room
		}
		heap.Pop(&s.timed)
		if t.lane != nil { // again: it heads its lane already
			s.wake(t.lane)
			continue
		}
		p := t.part
		p.waiting--
		p.waitingBytes -= t.size
		if p.paused && p.waiting <= maxWaitingRecords/2 && p.waitingBytes <= maxWaitingBytes/2 {
			p.paused = false
			room = append(room, p)
		}
		s.enqueue(t)
	}
	return time.Hour, room
}

// waitRoom blocks while the worker holds as much as it may. Records that are
// not due do not count: pausing their partitions bounds them.
func (s *scheduler) waitRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && (s.held >= maxHeldRecords || s.bytes >= maxHeldBytes) {
		s.room.Wait()
	}
}

// revoke closes partitions: nothing of them is sent any more. It returns when
// nothing of them is in flight, or ctx ends; and the offsets to commit last.
func (s *scheduler) revoke(ctx context.Context, lost map[string][]int32) offsets {
	stop := context.AfterFunc(ctx, func() { s.mu.Lock(); s.work.Broadcast(); s.mu.Unlock() })
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []*partition
	for topic, nums := range lost {
		for _, num := range nums {
			if p := s.parts[topic][num]; p != nil {
				gone = append(gone, p)
				delete(s.parts[topic], num)
			}
		}
	}
	for _, p := range gone {
		s.drain(p)
	}
	last := offsets{}
	for _, p := range gone {
		for p.active > 0 && ctx.Err() == nil {
			s.work.Wait()
		}
		last.add(p, p.committable())
		p.closed = true
		p.stopSends()
	}
	return last
}

// drain forgets what of p waits, in lanes or for its time; only its records in
// flight are left, and those that head a lane, which next passes over.
func (s *scheduler) drain(p *partition) {
	p.draining = true
	p.stopWaits()
	mine := func(t *task) bool { return t.part == p }
	kept := s.timed[:0]
	for _, t := range s.timed {
		if mine(t) && t.lane == nil {
			continue
		}
		kept = append(kept, t)
	}
	clear(s.timed[len(kept):])
	s.timed = kept
	heap.Init(&s.timed)
	for _, l := range s.lanes {
		queue := l.queue[:1]
		for _, t := range l.queue[1:] {
			if mine(t) {
				s.drop(t)
				continue
			}
			queue = append(queue, t)
		}
		l.queue = queue
	}
}

// offsets are what to commit, by topic and partition.
type offsets map[string]map[int32]int64

func (o offsets) add(p *partition, at int64) {
	if at < 0 || at == p.committed {
		return
	}
	if o[p.topic] == nil {
		o[p.topic] = make(map[int32]int64)
	}
	o[p.topic][p.num] = at
	p.committed = at
}

// toCommit returns what was finished since the last call.
func (s *scheduler) toCommit() offsets {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := offsets{}
	for _, parts := range s.parts {
		for _, p := range parts {
			o.add(p, p.committable())
		}
	}
	return o
}

// close ends next and waitRoom.
func (s *scheduler) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.work.Broadcast()
	s.room.Broadcast()
}

// stopWaits ends every wait before a send: the worker stops.
func (s *scheduler) stopWaits() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, parts := range s.parts {
		for _, p := range parts {
			p.stopWaits()
		}
	}
}

// waitIdle returns when nothing is in flight, or ctx ends.
func (s *scheduler) waitIdle(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { s.mu.Lock(); s.work.Broadcast(); s.mu.Unlock() })
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, parts := range s.parts {
		for _, p := range parts {
			for p.active > 0 && ctx.Err() == nil {
				s.work.Wait()
			}
		}
	}
}

// timedTasks is a heap by time.
type timedTasks []*task

func (h timedTasks) Len() int           { return len(h) }
func (h timedTasks) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timedTasks) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *timedTasks) Push(x any) { *h = append(*h, x.(*task)) } //nolint:forcetypeassert // the heap holds nothing else

// Pop is for container/heap.
func (h *timedTasks) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}
