package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/sinkstate"
)

// tenant is whose quota a record uses. Tenants take turns for slots, and each
// has its own hold, breaker and evidence, so that one that is flooded, held or
// down delays nobody else. A sink without tenants has one, called "". It is
// guarded by the scheduler's mutex.
type tenant struct {
	name     string
	queue    fifo
	flying   int
	hold     hold
	breaker  *breaker.Breaker // nil where every failure spends an attempt
	limit    *quota.Bucket    // nil where tenants are not told apart
	evidence evidence
	seats    int // how many slots it may have at once

	endpoints map[string]*endpoint // that its requests named, by name
}

// breakerConfig opens late: a vendor that fails half of all requests is up, and
// an attempt of several requests fails more often than each of them.
func breakerConfig() breaker.Config {
	return breaker.Config{MinOutcomes: 20, Share: 0.9, InRow: 8, Jitter: rand.Float64}
}

// TenantLimits are the limits of tenants, made as tenants come. There may be
// thousands, most of which send now and then.
type TenantLimits interface {
	// Limit returns the bucket of a tenant that has something to send.
	Limit(tenant string) *quota.Bucket
	// Forget gives up a bucket that Limit returned, and that was full or gives
	// no tokens before it is known how many there are.
	Forget(*quota.Bucket)
}

// noTenantLimits limit a tenant when its vendor says so.
type noTenantLimits struct{ burst int }

// Limit implements [TenantLimits].
func (l noTenantLimits) Limit(tenant string) *quota.Bucket {
	return quota.Local(quota.Limit{Name: tenant, Rate: rate.Inf, Burst: l.burst})
}

// Forget implements [TenantLimits].
func (noTenantLimits) Forget(*quota.Bucket) {}

// idle reports whether nothing would be lost by forgetting the tenant.
func (t *tenant) idle(now time.Time) bool {
	for _, e := range t.endpoints {
		if e.held(now) {
			return false
		}
	}
	return t.queue.len() == 0 && t.flying == 0 && !t.hold.until.After(now) &&
		(t.breaker == nil || t.breaker.State() == breaker.Closed) && t.limit != nil && t.limit.Full(now)
}

// allowed reports whether the tenant may send now; wait is when to ask again,
// 0 when something in flight has to settle first. Requests in flight wait for
// what is scarce.
func (t *tenant) allowed(now time.Time, scarce []*quota.Bucket) (ok bool, wait time.Duration) {
	if d := t.hold.until.Sub(now); d > 0 {
		return false, d
	}
	if t.flying >= t.seats || t.limit != nil && slices.Contains(scarce, t.limit) {
		return false, 0
	}
	if t.breaker != nil {
		if ok, wait := t.breaker.Allow(now); !ok {
			return false, wait
		}
	}
	if t.limit != nil {
		return t.limit.Has(now, 1)
	}
	return true, 0
}

// hold keeps a sink, a tenant or an endpoint from being sent to until a time. A
// later time wins; a shorter wait never cuts a longer one.
type hold struct {
	since  time.Time // when it began; one that follows before its end is part of it
	until  time.Time
	why    sinkstate.Hold
	streak int           // holds in a row without a delivery between them
	told   time.Time     // until when it is held, as people were told
	span   time.Duration // and for how long
}

const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = time.Minute
	// briefBackoff is the first wait, in requests, at a rate that was found. An
	// endpoint's is shorter: the longer all wait, the smaller is the share that is
	// refused at a rate that is too high, and the more it looks like chance. Of an
	// account that replicas share, each sees the refusals of all.
	briefBackoff    = 4
	endpointBackoff = 2
	// tellEvery is how far a hold may go beyond what people were told.
	tellEvery = time.Minute
)

// backoff is the wait where the vendor named none: 250ms, 500ms, 1s … 1m. Once
// the limiter has found the rate that the vendor takes, it begins with the time
// of a few requests: a refusal is what shows the limit now and then, or noise,
// and is no reason to stand still for longer.
func (h *hold) backoff(found rate.Limit, brief float64) time.Duration {
	first := firstBackoff
	if found < rate.Inf {
		first = time.Duration(min(first.Seconds(), brief/float64(found)) * float64(time.Second))
	}
	return min(first<<min(h.streak, 16), maxBackoff)
}

// extend holds until t and reports whether people are to be told: of the first
// hold at once, of those that follow it when they go on for a minute beyond
// what was said, or have become much longer. A vendor that throttles every
// second request would fill the log otherwise.
func (h *hold) extend(now, t time.Time, why sinkstate.Hold) (tell bool) {
	if !h.until.After(now) {
		h.streak++
		h.since = now
	}
	if t.After(h.until) {
		h.until, h.why = t, why
	}
	span := t.Sub(now)
	grew := span >= shortHold && span >= 4*h.span
	if h.until.Sub(h.told) < tellEvery && !grew {
		return false
	}
	h.span = span
	h.told = h.until
	return true
}

// lasts reports whether it holds, and is worth telling: to its very end.
func (h *hold) lasts(now time.Time) bool {
	return h.until.After(now) && h.until.Sub(h.since) > shortHold
}

// lift ends a hold for refused credentials, or for a throttle if that is to be
// lifted; it reports whether there was one.
func (h *hold) lift(now time.Time, throttled bool) bool {
	if !mayEnd(h.why, throttled) || !h.until.After(now) {
		return false
	}
	h.until, h.told = now, time.Time{}
	return true
}

// evidence remembers when the destination last answered, and whom: a failure
// spends an attempt only if the destination answered somebody else meanwhile.
// So an outage costs nothing, on a quiet sink too, and a record that alone
// brings the vendor down still climbs.
type evidence struct {
	id   string // event answered last
	last time.Time
	// other is when an event other than id was answered last.
	other time.Time
}

// answered notes that the destination answered about the event: with success,
// or with a refusal of the record itself.
func (e *evidence) answered(id string, at time.Time) {
	if e.id != id {
		e.other = e.last
		e.id = id
	}
	e.last = at
}

// since reports whether an event other than id was answered after t.
func (e *evidence) since(t time.Time, id string) bool {
	if e.id != id {
		return e.last.After(t)
	}
	return e.other.After(t)
}

// fifo is a queue of tasks that keeps its memory.
type fifo struct {
	tasks []*task
	head  int
}

func (q *fifo) len() int { return len(q.tasks) - q.head }

func (q *fifo) push(t *task) { q.tasks = append(q.tasks, t) }

func (q *fifo) pop() {
	q.tasks[q.head] = nil
	q.head++
	if q.head == len(q.tasks) {
		q.tasks, q.head = q.tasks[:0], 0
	} else if q.head > 64 && 2*q.head > len(q.tasks) {
		n := copy(q.tasks, q.tasks[q.head:])
		clear(q.tasks[n:])
		q.tasks, q.head = q.tasks[:n], 0
	}
}

func (q *fifo) first() *task { return q.tasks[q.head] }

// drop takes out the tasks that gone says to.
func (q *fifo) drop(gone func(*task) bool) {
	kept := q.tasks[:0]
	for _, t := range q.tasks[q.head:] {
		if !gone(t) {
			kept = append(kept, t)
		}
	}
	clear(q.tasks[len(kept):])
	q.tasks, q.head = kept, 0
}

// tenantOf names whose quota a record uses. A record that does not say belongs
// to the tenant without a name.
func (w *Worker) tenantOf(env *record.Envelope) string {
	switch {
	case w.cfg.TenantHeader != "":
		return env.Event.Header(w.cfg.TenantHeader)
	case w.cfg.TenantField != "" && env.Payload != nil:
		ctx, cancel := context.WithTimeout(w.life, tenantTimeout)
		defer cancel()
		value, err := w.deps.Open(ctx, env.Event.Origin.Topic, env.Payload, env.Event.Headers)
		if err != nil {
			return "" // whoever sends it finds out why
		}
		env.Event.Value = value
		return fieldOf(value, w.cfg.TenantField)
	}
	return ""
}

// tenantTimeout bounds the wait for a schema that is not known yet.
const tenantTimeout = 100 * time.Millisecond

// fieldOf returns a field as text, nested ones by a path with dots.
func fieldOf(value holdfast.Value, path string) string {
	fields, err := value.Fields()
	if err != nil {
		return ""
	}
	var at any = fields
	for name := range strings.SplitSeq(path, ".") {
		nested, ok := at.(map[string]any)
		if !ok {
			return ""
		}
		at = nested[name]
	}
	switch v := at.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}
