package main

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// fault is how a request fails.
type fault int

// The faults, evenly drawn.
const (
	faultNone     fault = iota
	faultThrottle       // 429
	faultError          // 500
	faultReset          // the connection is cut
	faultHang           // no answer within the time-out
	faultApplied        // took effect, and no answer within the time-out
	faults
)

// maxFaults is how often one event fails at most: three tiers make four attempts.
const maxFaults = 3

// book is everything that the vendor saw. What it promises is judged from it.
type book struct {
	rate float64 // share of requests that fail

	mu       sync.Mutex
	tick     int // orders what happens
	events   map[string]*event
	idem     map[string]string // idempotency key → event
	arrivals []time.Time       // of requests
	settles  []time.Time       // of first answers
	served   map[string]request
	watches  []*watch
	repeats  []repeat
	stalls   stalls
	waits    map[string][]span // by worker, everybody for all: when it was told to send nothing
}

// event is one record's life at the vendor. Ticks are 0 while it has not happened.
type event struct {
	id, key string
	seq     int

	requests, faults         int
	first, applied, answered int // ticks
	answeredBy               string
	answeredAt               time.Time
	keys                     map[string]bool // idempotency keys under which it took effect
}

// repeat is a request for an event that had been answered already.
type repeat struct {
	at         time.Time
	by         string // worker
	answeredAt time.Time
	answeredBy string // worker
}

func newBook(rate float64) *book {
	return &book{rate: rate, events: map[string]*event{}, idem: map[string]string{}, served: map[string]request{}, waits: map[string][]span{}}
}

// arrived writes a request down and draws how it fails.
func (b *book) arrived(r request) fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tick++
	b.arrivals = append(b.arrivals, r.at)
	e := b.events[r.id]
	if e == nil {
		e = &event{id: r.id, key: r.key, seq: r.seq, first: b.tick, keys: map[string]bool{}}
		b.events[r.id] = e
	}
	e.requests++
	if e.answered > 0 {
		b.repeats = append(b.repeats, repeat{at: r.at, by: r.worker, answeredAt: e.answeredAt, answeredBy: e.answeredBy})
	}
	for _, w := range b.watches {
		w.saw(r)
	}
	b.served[r.key] = r
	if e.faults >= maxFaults || rand.Float64() >= b.rate { //nolint:gosec // chance, not secrecy
		return faultNone
	}
	e.faults++
	return 1 + rand.N(faults-1) //nolint:gosec // chance, not secrecy
}

// everybody stands for all workers.
const everybody = ""

// asked notes that a worker was told to wait, or all that share its account.
func (b *book) asked(worker string, during span) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waits[worker] = append(b.waits[worker], during)
}

// waited is for how much of a time a worker was told to wait.
func (b *book) waited(worker string, during span) (sum time.Duration) {
	at := during.from
	told := slices.Concat(b.waits[worker], b.waits[everybody])
	slices.SortFunc(told, func(a, b span) int { return a.from.Compare(b.from) })
	for _, w := range told {
		from, to := w.from, w.to
		if from.Before(at) {
			from = at
		}
		if to.After(during.to) {
			to = during.to
		}
		if to.After(from) {
			sum, at = sum+to.Sub(from), to
		}
	}
	return sum
}

// applied lets a request take effect, unless its key did before: what an
// idempotent vendor does.
func (b *book) applied(r request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.idem[r.idem]; known {
		return
	}
	b.tick++
	b.idem[r.idem] = r.id
	e := b.events[r.id]
	e.keys[r.idem] = true
	if e.applied == 0 {
		e.applied = b.tick
	}
}

// answered notes that the worker is about to know.
func (b *book) answered(r request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.events[r.id]
	if e.answered > 0 {
		return
	}
	b.tick++
	e.answered, e.answeredBy, e.answeredAt = b.tick, r.worker, time.Now()
	b.settles = append(b.settles, e.answeredAt)
}

// settled is how many events were answered, and when the last request came.
func (b *book) settled() (n int, last time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.arrivals) > 0 {
		last = b.arrivals[len(b.arrivals)-1]
	}
	return len(b.settles), last
}

// watch waits for the first request for a key that a killed worker served last.
type watch struct {
	worker string

	keys  map[string]bool
	since time.Time // zero until the worker was started again
	seen  time.Time
}

func (w *watch) saw(r request) {
	if w.seen.IsZero() && !w.since.IsZero() && r.at.After(w.since) && w.keys[r.key] {
		w.seen = r.at
	}
}

// end is when the keys went on, or had been given long enough.
func (w *watch) end() time.Time {
	if w.seen.IsZero() {
		return w.since.Add(2 * resumeWithin * time.Second)
	}
	return w.seen
}

// watch begins with the keys that worker served last.
func (b *book) watch(worker string) *watch {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &watch{worker: worker, keys: map[string]bool{}}
	for key, r := range b.served {
		if r.worker == worker {
			w.keys[key] = true
		}
	}
	b.watches = append(b.watches, w)
	return w
}

// restarted says when the watched worker was started again.
func (b *book) restarted(w *watch, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.since = at
}

// resumed is how long the keys stood still after the start, without what the
// vendor asked for; false if they still do, or were none.
func (b *book) resumed(w *watch) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.seen.IsZero() {
		return 0, false
	}
	return w.seen.Sub(w.since) - b.waited(w.worker, span{from: w.since, to: w.seen}), true
}

// byKey lists the events of each key by their sequence.
func (b *book) byKey() map[string][]*event {
	keys := map[string][]*event{}
	for _, e := range b.events {
		keys[e.key] = append(keys[e.key], e)
	}
	for _, all := range keys {
		slices.SortFunc(all, func(a, b *event) int { return a.seq - b.seq })
	}
	return keys
}
