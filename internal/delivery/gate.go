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

// gate is the limits as one attempt meets them. It implements [sinks.Gate]. A
// token was taken when the record was picked, which pays for the first request
// that is asked for. What was taken counts towards the burst until its request
// is on its way: requests that wait long for their connections, and get them at
// once, are no more than could have been sent at once. While a request asks or
// waits it is guarded by the scheduler's mutex; else it is the attempt's, which
// has one request under way at a time.
type gate struct {
	sched  *scheduler
	tenant *tenant
	id     string // of the event; of a batch, the first
	// credit is what was paid and not used. A request that has to wait for
	// something else loses it: tokens that are kept could be used all at once.
	credit     float64
	ahead      [3]bill   // what was taken and not sent yet
	unanswered letGo     // the request of the call under way
	asked      bool      // some request was let go
	clock      *patience // of the call under way
}

// letGo is a request that was paid for; of no cost, it is none.
type letGo struct {
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

// Sent implements [sinks.Gate]. What pays for a further request stays ahead.
func (g *gate) Sent() { g.release(g.credit) }

// done ends what was taken ahead, whatever became of it.
func (g *gate) done() { g.release(0) }

// release tells the buckets of what is not ahead any more: all but so much of
// the account's and the tenant's tokens.
func (g *gate) release(credit float64) {
	var now time.Time
	for i := range g.ahead {
		b, stays := &g.ahead[i], credit
		if i == ofEndpoint {
			stays = 0
		}
		if b.bucket == nil || b.tokens <= stays {
			continue
		}
		if now.IsZero() {
			now = time.Now()
		}
		b.bucket.Sent(now, b.tokens-stays)
		b.tokens = stays
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
	defer g.Sent() // if it asked for nothing, or did not get that far
	if err := g.enter(ctx); err != nil {
		return err
	}
	g.clock = g.sched.calls.begin(ctx, time.Now().Add(timeout))
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
	g.unanswered = letGo{}
	if g.credit <= 0 {
		if err := g.Pass(ctx, "", 1); err != nil {
			return err
		}
		g.credit = 1
	}
	g.unanswered = letGo{}
	return nil
}

// answered tells the limits how the last request of a call ended; those before
// it were taken.
func (g *gate) answered(err error) {
	if g.unanswered.cost == 0 && !errors.Is(err, errLimited) { // a sink that asks for nothing has made the one that was paid for it
		g.unanswered.cost, g.credit, g.asked = g.credit, 0, true
	}
	throttle, throttled := errors.AsType[*holdfast.ThrottledError](err)
	switch verdict, f := holdfast.Judge(err); {
	case verdict == holdfast.VerdictDelivered:
		g.settled()
	case throttled:
		if throttle.Wait <= 0 && throttle.Scope != holdfast.ScopeRecord && g.unanswered.cost > 0 {
			g.scoped(throttle.Scope).Refused(g.unanswered.cost)
		}
	case f.Status != 0: // else nobody answered
		g.settled()
	}
}

// settled is taken outside of the scheduler's mutex.
func (g *gate) settled() {
	if g.unanswered.endpoint != nil {
		g.sched.mu.Lock()
		defer g.sched.mu.Unlock()
	}
	g.taken()
}

// taken tells all limits of a request that the vendor took it.
func (g *gate) taken() {
	if g.unanswered.cost == 0 {
		return
	}
	for _, b := range [...]*quota.Bucket{g.sched.limit, g.tenant.limit, g.unanswered.endpoint.bucket()} {
		if b != nil {
			b.Accepted(g.unanswered.cost)
		}
	}
	if g.unanswered.endpoint != nil {
		g.unanswered.endpoint.took(g.id, time.Now())
	}
	g.unanswered = letGo{}
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
		return g.unanswered.endpoint
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
	g.done()
	if g.credit <= 0 {
		return
	}
	g.sched.limit.Return(now, g.credit)
	if g.tenant.limit != nil {
		g.tenant.limit.Return(now, g.credit)
	}
	g.credit = 0
}
