package delivery

import (
	"container/heap"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/record"
)

// task is an outstanding record that is in memory.
type task struct {
	id     id
	shard  *shard
	env    *record.Envelope
	owner  string  // the tenant's name
	tenant *tenant // once it may be sent
	size   int
	at     time.Time // when it was due; zero for one that might go at once
	// waits counts throttles and waits for a schema: none of them is an attempt.
	waits int
	// throttles in a row that hit this record while others of its scope passed.
	throttles int
	attempt   breaker.Attempt
	gate      *gate // of the attempt under way
	slot      int   // where it lay when it was taken
	rider     bool  // goes with another one's slot, in a batch
	kept      bool  // counts as kept: its time has not come
	own       bool  // its bytes are its own
	look      int   // how often memory had been looked at when it came
	moving    bool  // on its way to another topic
	resumable bool  // waits for what a person may end, with sink resume
	moves     int   // how often it was; tells a late acknowledgement from the present one
}

// scheduler decides what may be sent next: the first of each key, when its time
// has come, tenants in turn, within holds, limits and breakers.
type scheduler struct {
	cfg    Config
	layout layout
	began  time.Time
	seed   maphash.Seed
	limit  *quota.Bucket // of the whole sink

	owned atomic.Int64 // len(shards)

	mu      sync.Mutex
	work    sync.Cond // something may be sent, or closed
	quiet   sync.Cond // less is in flight
	shards  map[int32]*shard
	tenants map[string]*tenant
	turns   []*tenant // those with records to send, in turn
	turn    int
	refetch []want // what may be sent and is not in memory
	hold    hold   // of the whole sink
	letters budget
	awaits  awaits
	flying  int

	endpoints map[string]*quota.Bucket
	apart     bool            // some endpoint has a limit of its own
	line      []*request      // of attempts in flight, waiting for tokens
	scarce    []*quota.Bucket // what they wait for

	// decided is what closed dead letters of the sink, and informed that all of
	// it was read that was there at the start; both only where followers park.
	decided  map[letterAt]disposition.State
	informed bool
	released []release // what left the dead-letter topic and nobody else knows of

	held, bytes, keptBytes int
	came                   int // bytes, since memory was looked at
	look                   int // how often it was
	outstanding            int
	fullUntil              chan struct{} // while memory is full, closed when it is free again; else nil
	paused                 bool          // the source is not read
	closed                 bool

	barrier *barrier // nil unless the source has grown
	asked   *barrier // what it is to be, if it changes
	changes bool

	alarm    time.Time     // when timers next looks
	ring     chan struct{} // the alarm was set earlier
	fetch    chan struct{} // refetch has something
	relieved chan struct{} // memory is free again
	leaving  chan struct{} // released has something
	astray   chan struct{} // a redriven letter may have no copy on the redrive topic
}

// want is an entry whose record has to be read from its topic.
type want struct {
	shard *shard
	id    id
}

func newScheduler(cfg Config, limit *quota.Bucket, endpoints map[string]*quota.Bucket) *scheduler {
	if limit == nil { // none until the vendor refuses
		limit = quota.Local(quota.Limit{Name: cfg.Sink, Rate: rate.Inf, Burst: cfg.Concurrency})
	}
	s := &scheduler{
		cfg: cfg, layout: newLayout(cfg), began: time.Now(), seed: maphash.MakeSeed(), limit: limit,
		shards: make(map[int32]*shard), tenants: make(map[string]*tenant),
		letters: newBudget(cfg.DeadLetterBudget), endpoints: maps.Clone(endpoints), apart: len(endpoints) > 0,
		decided: make(map[letterAt]disposition.State), informed: !cfg.Park,
		ring: make(chan struct{}, 1), fetch: make(chan struct{}, 1), relieved: make(chan struct{}, 1),
		leaving: make(chan struct{}, 1), astray: make(chan struct{}, 1),
	}
	if s.endpoints == nil {
		s.endpoints = make(map[string]*quota.Bucket)
	}
	s.work.L, s.quiet.L = &s.mu, &s.mu
	return s
}

// tickAt rounds up: never early.
func (s *scheduler) tickAt(t time.Time) tick {
	if t.IsZero() {
		return 0
	}
	d := (t.Sub(s.began) + tickLength - 1) / tickLength
	return tick(min(max(d, 0), time.Duration(never)-1))
}

func (s *scheduler) timeOf(due tick) time.Time { return s.began.Add(time.Duration(due) * tickLength) }

// arrival is a record that was read from a topic.
type arrival struct {
	offset int64
	env    *record.Envelope // nil for what needs no delivery (markers of transactions)
	due    time.Time        // zero: at once
	tenant string
	// outline: env says only what the index has to know, too little to be sent.
	outline bool
}

// admit takes the records of one partition that were read. It reports whether
// some were kept back, which will be read again.
func (s *scheduler) admit(topic string, num int32, arrivals []arrival) (kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[num]
	if sh == nil || sh.gone {
		return false
	}
	p := sh.parts[s.layout.slots[topic]]
	if p == nil || p.finished == nil || p.stopped {
		return false
	}
	limit := int64(-1)
	if p.slot == slotSource && s.barrier != nil {
		arrivals, limit = s.withhold(p, arrivals)
	}
	for i := range arrivals {
		a := &arrivals[i]
		switch settled := p.meet(a.offset); {
		case settled:
		case a.env == nil:
			p.finished.Finish(a.offset)
		default:
			s.take(p, a)
		}
	}
	if limit > p.finished.Next() {
		p.finished.Skip(limit - 1)
	}
	s.reachOver(sh)
	s.tryOpen(sh)
	s.pressure()
	return limit >= 0
}

// take files one record that is not settled.
func (s *scheduler) take(p *part, a *arrival) {
	sh, offset, env := p.shard, a.offset, a.env
	key, origin := s.keyOf(env), s.originOf(env)
	rank := rankOf(env.Redrive.Count, env.Hop)
	if i := sh.index.find(key, origin); i != none {
		e := sh.index.at(i)
		switch {
		case e.slot() == p.slot && e.offset() == offset:
			return // this worker wrote it, and knows
		case rank <= e.rank: // an older copy, or the same one twice
			if moved := rank < e.rank && rank>>hopBits == e.rank>>hopBits; moved {
				s.vacate(sh, p.slot, offset)
			} else {
				p.finish(offset)
			}
			return
		case e.state() != flying:
			s.supersede(sh, i, p, a)
			return
		case sh.tasks[i].moving && env.Redrive.Count > int(e.rank>>hopBits):
			// A dead letter was redriven before its own write was acknowledged here.
			sh.tasks[i].moving = false
			s.leave(sh.tasks[i])
			s.supersede(sh, i, p, a)
			return
		case sh.tasks[i].moving && env.Epoch >= sh.epoch:
			s.arrive(sh, i, p.slot, offset, a.due) // read before its write was acknowledged
			return
		case env.Epoch < sh.epoch && env.Redrive.Count <= int(e.rank>>hopBits) && e.slot() != s.layout.letters:
			p.finish(offset) // a former owner's late word about what is in flight here
			return
		}
		// Of a record that waits in the dead-letter topic both copies stay: the
		// former owner may have released the one that is in flight here.
	} else if sh.stale(origin, rank, env) {
		p.finish(offset)
		return
	}
	e := entry{key: key, origin: origin, rank: rank, due: s.dueOf(p, a)}
	e.place(p.slot, offset)
	e.set(stored)
	i := sh.index.insert(e)
	s.outstanding++
	if p.slot != slotSource {
		sh.reach = max(sh.reach, origin)
	}
	if p.slot == slotSource || !a.outline && s.mayKeep(p.slot) {
		s.keep(sh, i, a)
	}
	s.giveWay(sh, i)
	if !s.dropDecided(sh, i) {
		s.consider(sh, i)
	}
}

// giveWay takes back what was about to be sent and is not the first of its key
// any more.
func (s *scheduler) giveWay(sh *shard, i id) {
	e := sh.index.at(i)
	if e.key == 0 || e.next == i || !sh.index.leads(i) {
		return
	}
	if next := sh.index.at(e.next); next.state() == queued {
		s.unqueueOne(sh.tasks[e.next])
		next.set(held)
	}
}

// supersede replaces an older copy that waits by a newer one.
func (s *scheduler) supersede(sh *shard, i id, p *part, a *arrival) {
	e := sh.index.at(i)
	s.forget(sh, i)
	if a.env.Redrive.Count == int(e.rank>>hopBits) {
		s.vacate(sh, e.slot(), e.offset())
	} else { // a job redrove it, and noted that
		sh.parts[e.slot()].finish(e.offset())
	}
	e.place(p.slot, a.offset)
	e.rank, e.due = rankOf(a.env.Redrive.Count, a.env.Hop), s.dueOf(p, a)
	e.set(stored)
	if !a.outline && s.mayKeep(p.slot) {
		s.keep(sh, i, a)
	}
	if !s.dropDecided(sh, i) {
		s.consider(sh, i)
	}
}

// dueOf is when a record may be sent: a dead letter never by itself, what waits
// behind one as soon as it leads its key.
func (s *scheduler) dueOf(p *part, a *arrival) tick {
	if p.slot == s.layout.letters && !a.env.Parked() {
		return never
	}
	return s.tickAt(a.due)
}

// keep holds a record in memory.
func (s *scheduler) keep(sh *shard, i id, a *arrival) {
	t := &task{id: i, shard: sh, env: a.env, size: a.env.Size(), at: a.due, owner: a.tenant}
	sh.tasks[i] = t
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
	t := sh.tasks[i]
	if t == nil {
		return
	}
	delete(sh.tasks, i)
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

// consider sends an entry on its way if it leads its key and its time has come.
func (s *scheduler) consider(sh *shard, i id) {
	e := sh.index.at(i)
	if !sh.open || sh.gone || e.due == never || e.state() != held && e.state() != stored || !sh.index.leads(i) {
		return
	}
	if e.due > 0 && s.timeOf(e.due).After(time.Now()) {
		sh.wait(i, e.due)
		s.alarmAt(s.timeOf(e.due))
		return
	}
	if t := sh.tasks[i]; t != nil {
		s.enqueue(t)
		return
	}
	if len(s.refetch) >= maxRefetch { // it has its turn when these were read
		sh.wait(i, e.due)
		s.alarmAt(time.Now().Add(refetchPause))
		return
	}
	e.set(wanted)
	s.refetch = append(s.refetch, want{sh, i})
	poke(s.fetch)
}

// enqueue lets a task take its tenant's turn.
func (s *scheduler) enqueue(t *task) {
	s.release(t)
	t.shard.index.at(t.id).set(queued)
	if t.tenant == nil {
		t.tenant = s.tenantOf(t.owner)
	}
	t.tenant.queue.push(t)
	if t.tenant.queue.len() == 1 {
		s.turns = append(s.turns, t.tenant)
	}
	s.work.Signal()
}

func (s *scheduler) tenantOf(name string) *tenant {
	tn := s.tenants[name]
	if tn == nil {
		tn = &tenant{name: name, seats: s.cfg.Concurrency}
		if s.cfg.tenanted() {
			tn.seats = s.cfg.TenantConcurrency
			tn.limit = s.cfg.tenantLimit(name)
		}
		if !s.cfg.EveryFailureSpends {
			tn.breaker = breaker.New(breakerConfig(), tn.seats)
		}
		s.tenants[name] = tn
	}
	return tn
}

// next returns a record that may be sent now, nil when the scheduler is closed.
func (s *scheduler) next() *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil
		}
		now := time.Now()
		t, wait := s.pick(now)
		if t != nil {
			if len(s.turns) > 0 {
				s.work.Signal() // one wakes the next, so that a burst wakes all without a storm
			}
			return t
		}
		if wait > 0 {
			s.alarmAt(now.Add(wait))
		}
		s.work.Wait()
	}
}

// pick takes the next record of the tenants in turn; wait is when to look
// again, 0 when something else has to happen first.
func (s *scheduler) pick(now time.Time) (t *task, wait time.Duration) {
	if len(s.turns) == 0 {
		return nil, 0
	}
	if d := s.hold.until.Sub(now); d > 0 {
		return nil, d
	}
	if slices.Contains(s.scarce, s.limit) {
		return nil, 0
	}
	if ok, d := s.letters.allow(now); !ok {
		return nil, d
	}
	for range len(s.turns) {
		if s.turn >= len(s.turns) {
			s.turn = 0
		}
		tn := s.turns[s.turn]
		ok, d := tn.allowed(now, s.scarce)
		if !ok {
			if d > 0 && (wait == 0 || d < wait) {
				wait = d
			}
			s.turn++
			continue
		}
		if ok, d := s.limit.Take(now, 1); !ok {
			return nil, d
		}
		return s.start(tn, now), 0
	}
	return nil, wait
}

func (s *scheduler) start(tn *tenant, now time.Time) *task {
	t := tn.queue.first()
	if !s.dequeue(tn) {
		s.turn++
	}
	s.lift(t)
	t.rider = false
	tn.flying++
	s.flying++
	s.letters.begin(now)
	if tn.limit != nil {
		tn.limit.Take(now, 1)
	}
	if tn.breaker != nil {
		t.attempt = tn.breaker.Begin(now)
	}
	return t
}

// dequeue takes the first record of a tenant, and the tenant out of the turns
// if it was the last; it reports whether it was.
func (s *scheduler) dequeue(tn *tenant) (last bool) {
	tn.queue.pop()
	if tn.queue.len() > 0 {
		return false
	}
	at := slices.Index(s.turns, tn)
	s.turns = slices.Delete(s.turns, at, at+1)
	if at < s.turn {
		s.turn--
	}
	return true
}

// lift marks a record as under way.
func (s *scheduler) lift(t *task) {
	e := t.shard.index.at(t.id)
	e.set(flying)
	t.slot, t.resumable = e.slot(), false
	t.shard.active++
}

// finish settles t: it was delivered, or lies safely where nobody here waits for it.
func (s *scheduler) finish(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(t)
}

func (s *scheduler) settle(t *task) {
	sh := t.shard
	s.leave(t)
	if sh.parts == nil {
		return
	}
	e := sh.index.at(t.id)
	s.vacate(sh, e.slot(), e.offset())
	sh.remember(e.origin, e.rank)
	s.drop(sh, t.id)
}

// drop forgets an entry and lets what waited behind it go.
func (s *scheduler) drop(sh *shard, i id) {
	s.forget(sh, i)
	next := sh.index.remove(i)
	s.outstanding--
	if next != none {
		s.consider(sh, next)
	}
	s.pressure()
}

// leave takes t off the list of what is under way in its shard.
func (s *scheduler) leave(t *task) { s.calm(t.shard) }

// calm notes that one thing less is under way in a shard.
func (s *scheduler) calm(sh *shard) {
	sh.active--
	s.quiet.Broadcast()
}

// arrive notes that a record lies in another topic now: it was written there,
// by all replicas.
func (s *scheduler) arrive(sh *shard, i id, slot int, offset int64, due time.Time) {
	e, t := sh.index.at(i), sh.tasks[i]
	sh.remember(e.origin, e.rank)
	s.vacate(sh, e.slot(), e.offset())
	t.moving = false
	t.env.Hop++
	e.place(slot, offset)
	e.rank = rankOf(t.env.Redrive.Count, t.env.Hop)
	e.due = s.tickAt(due)
	if slot == s.layout.letters && !t.env.Parked() {
		e.due = never
	}
	s.leave(t)
	e.set(held)
	t.at, t.throttles, t.waits = due, 0, 0
	if !s.mayKeep(slot) {
		s.forget(sh, i)
	} else {
		t.kept = true
		s.keptBytes += t.size
	}
	// Somebody may have read the letter, and decided, before we heard of it.
	if !s.dropDecided(sh, i) {
		s.consider(sh, sh.index.settleDown(i))
	}
	s.pressure()
}

// moved is the acknowledgement of a move within the shard.
func (s *scheduler) moved(t *task, move, slot int, offset int64, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := t.shard
	switch {
	case !t.moving || t.moves != move: // it was read before it was acknowledged
	case sh.parts == nil: // given up: the next owner reads both copies and knows the newer
		s.leave(t)
	default:
		s.arrive(sh, t.id, slot, offset, due)
	}
}

// depart sends t on its way to another topic: nothing else happens to it until
// the write was acknowledged.
func (s *scheduler) depart(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.moving = true
	t.moves++
}

// again lets t wait where it is, to be sent at the given time; its key waits
// with it.
func (s *scheduler) again(t *task, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(t)
	if t.shard.gone {
		return
	}
	e := t.shard.index.at(t.id)
	e.set(held)
	e.due, t.at = s.tickAt(at), at
	if s.dropDecided(t.shard, t.id) {
		return
	}
	s.consider(t.shard, t.shard.index.settleDown(t.id))
}

// abandon gives t up without settling it: its shard is gone or the worker
// stops, and whoever owns the shard next reads it again.
func (s *scheduler) abandon(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(t)
	if !t.shard.gone {
		t.shard.index.at(t.id).set(held)
	}
}

// owns reports whether t's shard is still this worker's.
func (s *scheduler) owns(t *task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.shard.parts != nil
}

// alarmAt makes timers look at t at the latest.
func (s *scheduler) alarmAt(t time.Time) {
	if s.alarm.IsZero() || t.Before(s.alarm) {
		s.alarm = t
		poke(s.ring)
	}
}

// expire lets everything go whose time has come, and returns when to look again.
func (s *scheduler) expire(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	rang := !s.alarm.After(now)
	if rang {
		s.alarm = time.Time{}
		s.serve(now)
	}
	defer s.hush()
	for _, sh := range s.shards {
		for len(sh.due) > 0 && !sh.gone {
			if len(s.refetch) >= maxRefetch { // the rest keeps its place until these were read
				s.alarmAt(now.Add(refetchPause))
				break
			}
			item := sh.due[0]
			if s.timeOf(item.due).After(now) {
				s.alarmAt(s.timeOf(item.due))
				break
			}
			heap.Pop(&sh.due)
			if int(item.id) < len(sh.index.entries) && sh.index.at(item.id).due == item.due {
				s.consider(sh, item.id)
			}
		}
	}
	if rang && len(s.turns) > 0 {
		s.work.Signal()
	}
	s.forgetTenants(now)
	if s.alarm.IsZero() {
		return time.Hour
	}
	return max(s.alarm.Sub(now), 0)
}

// hush forgets that the alarm was set: whoever sets it here looks at it next.
func (s *scheduler) hush() {
	select {
	case <-s.ring:
	default:
	}
}

// maxIdleTenants bounds how many tenants are remembered for nothing.
const maxIdleTenants = 1024

func (s *scheduler) forgetTenants(now time.Time) {
	if len(s.tenants) <= maxIdleTenants {
		return
	}
	for name, tn := range s.tenants {
		if tn.idle(now) {
			delete(s.tenants, name)
		}
	}
}

// keyOf hashes the key of a record; 0 where no order is kept.
func (s *scheduler) keyOf(env *record.Envelope) uint64 {
	if !s.cfg.Ordered || env.Event.Key == nil {
		return 0
	}
	return max(1, maphash.Bytes(s.seed, env.Event.Key))
}

// foreignOrigins is where the order of records begins that did not come from
// the present source: written by hand, or from a source of former days. They
// are earlier than all others, and each topic has a stretch of its own.
const (
	foreignOrigins = -1 << 62
	foreignTopics  = 1 << 20
	foreignStretch = 1 << 41
)

func (s *scheduler) originOf(env *record.Envelope) int64 {
	if at := env.Event.Origin; at.Topic != s.cfg.Source {
		topic := int64(maphash.String(s.seed, at.Topic) % foreignTopics)
		return foreignOrigins + topic*foreignStretch + at.Offset%foreignStretch
	}
	return env.Event.Origin.Offset
}

// close ends next.
func (s *scheduler) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.work.Broadcast()
}

// poke wakes whoever waits on c, once.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
