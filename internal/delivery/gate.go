package delivery

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"holdfast.internal"
	"holdfast.internal/internal/quota"
	"holdfast.internal/sinks"
)

// gate is the limits as one attempt meets them. The token for its first request
// was taken when the record was picked; each further one is asked for before
// it is sent. What was taken counts towards the burst until the request is on
// its way: however long its connection takes, and of however many, what arrives
// together was allowed together. It implements [sinks.Gate]. While a request
// asks or waits it is guarded by the scheduler's mutex; else it is the attempt's.
type gate struct {
	sched  *scheduler
	tenant *tenant
	id     string // of the event; of a batch, the first
	// credit is what was paid and not used. A request that has to wait for
	// something else loses it: tokens that are kept could be used all at once.
	credit float64
	ahead  [3]bill   // what was taken and not sent yet
	under  sent      // the request of the call under way that was not answered yet
	asked  bool      // some request was let go
	clock  *patience // of the call under way, or of the slot's last one
}

// sent is a request that was paid for; of no cost, it is none.
type sent struct {
	endpoint *endpoint // nil for none
	cost     float64
}

// errLimited is why an attempt was put off: the limits keep it waiting for
// longer than its time.
var errLimited = errors.New("the limits let nothing more be sent")

func limited(wait time.Duration) error {
	return &holdfast.ThrottledError{
		Failure: holdfast.Failure{Class: holdfast.ClassRateLimited, Code: "own_limit", Err: errLimited}, Wait: wait, Scope: holdfast.ScopeRecord,
	}
}

// Pass implements [sinks.Gate].
func (g *gate) Pass(ctx context.Context, endpoint string, cost float64) error {
	r := g.sched.ask(g, endpoint, cost)
	if r == nil {
		return nil
	}
	defer g.clock.pause()()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		g.sched.quit(r)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return limited(0)
		}
		return ctx.Err()
	}
}

// Sent implements [sinks.Gate].
func (g *gate) Sent() {
	now := time.Now()
	for i, b := range g.ahead {
		if b.bucket != nil {
			b.bucket.Sent(now, b.tokens)
			g.ahead[i] = bill{}
		}
	}
}

// Hear implements [sinks.Gate]. Where records belong to tenants, each has an
// account of its own at the vendor.
func (g *gate) Hear(a sinks.Advice) {
	b := g.account()
	if a.Rate > 0 {
		b.SetRate(rate.Limit(a.Rate))
	}
	if a.Reset > 0 {
		b.SetLeft(a.Left, a.Reset)
	}
	if a.Max > 0 {
		b.SetUsed(a.Used, a.Max)
	}
}

func (g *gate) account() *quota.Bucket {
	if g.tenant.limit != nil {
		return g.tenant.limit
	}
	return g.sched.limit
}

// call calls the sink within its time, once a request of it is paid for.
func (g *gate) call(ctx context.Context, timeout time.Duration, sink func(context.Context) error) error {
	if err := g.enter(ctx); err != nil {
		return err
	}
	g.clock = g.sched.calls.begin(ctx, g.clock, time.Now().Add(timeout))
	defer g.sched.calls.end(g.clock)
	err := sink(g.clock) //nolint:contextcheck // a patience is made from ctx
	if errors.Is(err, context.Canceled) && errors.Is(g.clock.Err(), context.DeadlineExceeded) {
		err = context.DeadlineExceeded // of a context that was made from ours
	}
	g.answered(err)
	return err
}

// enter pays for the first request of a call, unless that was done.
func (g *gate) enter(ctx context.Context) error {
	if g.credit <= 0 {
		if err := g.Pass(ctx, "", 1); err != nil {
			return err
		}
		g.credit = 1
	}
	g.under = sent{}
	return nil
}

// answered tells the limits how the last request of a call ended; those before
// it were taken.
func (g *gate) answered(err error) {
	g.Sent()
	if g.under.cost == 0 && !errors.Is(err, errLimited) { // a sink that asks for nothing has made the one that was paid for it
		g.under.cost, g.credit, g.asked = g.credit, 0, true
	}
	throttle, throttled := errors.AsType[*holdfast.ThrottledError](err)
	switch verdict, f := holdfast.Judge(err); {
	case verdict == holdfast.VerdictDelivered:
		g.settled()
	case throttled:
		if throttle.Wait <= 0 && throttle.Scope != holdfast.ScopeRecord && g.under.cost > 0 {
			g.scoped(throttle.Scope).Refused(g.under.cost)
		}
	case f.Status != 0: // else nobody answered
		g.settled()
	}
}

// settled is taken outside of the scheduler's mutex.
func (g *gate) settled() {
	if g.under.endpoint != nil {
		g.sched.mu.Lock()
		defer g.sched.mu.Unlock()
	}
	g.taken()
}

// taken tells all limits of a request that the vendor took it.
func (g *gate) taken() {
	if g.under.cost == 0 {
		return
	}
	for _, b := range [...]*quota.Bucket{g.sched.limit, g.tenant.limit, g.under.endpoint.bucket()} {
		if b != nil {
			b.Accepted(g.under.cost)
		}
	}
	if g.under.endpoint != nil {
		g.under.endpoint.took(g.id, time.Now())
	}
	g.under = sent{}
}

// throttled is the endpoint that alone a verdict throttles; nil for none.
func (g *gate) throttled(err error) *endpoint {
	if throttle, ok := errors.AsType[*holdfast.ThrottledError](err); ok {
		return g.endpoint(throttle.Scope)
	}
	return nil
}

// endpoint is the one that a throttle of that scope is about; nil for none.
func (g *gate) endpoint(scope holdfast.Scope) *endpoint {
	if scope == holdfast.ScopeEndpoint {
		return g.under.endpoint
	}
	return nil
}

// scoped is the bucket that a throttle is about.
func (g *gate) scoped(scope holdfast.Scope) *quota.Bucket {
	switch e := g.endpoint(scope); {
	case e != nil:
		return e.limit
	case scope == holdfast.ScopeTenant:
		return g.account()
	}
	return g.sched.limit
}

// giveBack returns what was paid for a request that was not made.
func (g *gate) giveBack(now time.Time) {
	g.Sent()
	if g.credit <= 0 {
		return
	}
	g.sched.limit.Return(now, g.credit)
	if g.tenant.limit != nil {
		g.tenant.limit.Return(now, g.credit)
	}
	g.credit = 0
}
