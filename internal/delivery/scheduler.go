package delivery

import (
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/sinkstate"
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
	// waited: something was waited for that is no attempt, such as a throttle, a
	// schema or credentials.
	waited bool
	// throttles in a row that hit this record while others of its scope passed.
	throttles int
	attempt   breaker.Attempt
	gate      *gate          // of the attempt under way
	slot      int            // where it lay when it was taken
	rider     bool           // goes with another one's slot, in a batch
	kept      bool           // counts as kept: its time has not come
	own       bool           // its bytes are its own
	look      int            // how often memory had been looked at when it came
	begun     bool           // requests were made for it that the record does not tell of
	moving    bool           // on its way to another topic
	waitsFor  sinkstate.Hold // what a person may end, with sink resume
	moves     int            // how often it was; tells a late acknowledgement from the present one
}

// scheduler decides what may be sent next: the first of each key, when its time
// has come, tenants in turn, within holds, limits and breakers.
type scheduler struct {
	cfg          Config
	layout       layout
	began        time.Time
	seed         maphash.Seed
	limit        *quota.Bucket // of the whole sink
	tenantLimits TenantLimits

	owned atomic.Int64 // len(shards)
	fence fence
	calls calls

	mu      sync.Mutex
	work    sync.Cond // something may be sent, or closed
	quiet   sync.Cond // less is in flight
	shards  map[int32]*shard
	tenants map[string]*tenant
	turns   []*tenant // those with records to send, in turn
	turn    int
	rereads int       // how often was asked what is to be read again
	hold    hold      // of the whole sink
	deaf    time.Time // others' throttles are not heeded before
	letters budget
	awaits  awaits
	flying  int

	endpoints map[string]*quota.Bucket // by name
	line      []*request               // of attempts in flight, waiting for tokens
	scarce    []*quota.Bucket          // what they wait for

	// decided is what closed dead letters of the sink, and informed that all of
	// it was read that was there at the start; both only where followers park.
	decided     map[letterAt]disposition.State
	manyDecided int // from how many on some are forgotten
	informed    bool
	released    []release // what left the dead-letter topic and nobody else knows of

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
	grown    chan struct{} // a limit lets more be sent
	fetch    chan struct{} // refetch has something
	relieved chan struct{} // memory is free again
	leaving  chan struct{} // released has something
	astray   chan struct{} // a redriven letter may have no copy on the redrive topic
}

func newScheduler(cfg Config, limit *quota.Bucket, endpoints map[string]*quota.Bucket, tenants TenantLimits) *scheduler {
	if limit == nil { // none until the vendor refuses
		limit = quota.Local(quota.Limit{Name: cfg.Sink, Rate: rate.Inf, Burst: cfg.Concurrency})
	}
	if tenants == nil {
		tenants = noTenantLimits{cfg.TenantConcurrency}
	}
	s := &scheduler{
		cfg: cfg, layout: newLayout(cfg), began: time.Now(), seed: maphash.MakeSeed(), limit: limit, tenantLimits: tenants,
		shards: make(map[int32]*shard), tenants: make(map[string]*tenant),
		letters: newBudget(cfg.DeadLetterBudget), endpoints: maps.Clone(endpoints),
		decided: make(map[letterAt]disposition.State), manyDecided: fewDecisions, informed: !cfg.Park,
		ring: make(chan struct{}, 1), grown: make(chan struct{}, 1), fetch: make(chan struct{}, 1), relieved: make(chan struct{}, 1),
		leaving: make(chan struct{}, 1), astray: make(chan struct{}, 1),
	}
	if s.endpoints == nil {
		s.endpoints = make(map[string]*quota.Bucket)
	}
	s.work.L, s.quiet.L = &s.mu, &s.mu
	s.heedGrowth(limit)
	for _, b := range s.endpoints {
		s.heedGrowth(b)
	}
	return s
}

// heedGrowth lets what waits for tokens of a bucket ask again when its share
// has grown: a worker that has just come would sleep for a quarter of a second
// beside its first share.
func (s *scheduler) heedGrowth(b *quota.Bucket) { b.OnGrowth(func() { poke(s.grown) }) }

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
	if t := sh.tasks.at(i); t != nil {
		s.enqueue(t)
		return
	}
	if len(sh.refetch) >= maxRefetch { // it has its turn when these were read
		sh.wait(i, e.due)
		s.alarmAt(time.Now().Add(refetchPause))
		return
	}
	e.set(wanted)
	sh.refetch = append(sh.refetch, i)
	poke(s.fetch)
}

// owns reports whether t's shard is still this worker's.
func (s *scheduler) owns(t *task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.shard.parts != nil
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
