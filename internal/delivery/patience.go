package delivery

import (
	"context"
	"errors"
	"sync"
	"time"
)

// patience is a context that ends after a time, in which waits for tokens do
// not count: a slow limit is nobody's time-out. It is made of a plain
// cancellable context, because net/http starts a goroutine to watch any other
// kind; contexts derived from it say canceled, with the deadline as the cause.
type patience struct {
	context.Context

	parent context.Context //nolint:containedctx // asked when it may have ended
	cancel context.CancelCauseFunc

	// Guarded by the mutex of its calls.
	of         *calls
	prev, next *patience
	end        time.Time     // when its time is over, unless it waits
	left       time.Duration // while it waits
	waits      int           // at once
}

// Deadline is when the call ends if it waits for no token any more: true of
// whatever it does with it, as a request that is under way waits for none.
func (p *patience) Deadline() (time.Time, bool) {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	return p.end, true
}

// Err implements [context.Context].
func (p *patience) Err() error {
	err := p.Context.Err()
	if err != nil && errors.Is(context.Cause(p.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// pause stops the time until the function that is returned is called. A nil
// patience has no time to stop.
func (p *patience) pause() (resume func()) {
	if p == nil {
		return func() {}
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.waits++; p.waits == 1 {
		p.left = max(time.Until(p.end), 0)
	}
	return p.resume
}

func (p *patience) resume() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.waits--; p.waits == 0 && p.of.has(p) {
		p.end = time.Now().Add(p.left)
		p.of.ring(p.end)
	}
}

// calls are those of the sink that are under way. One timer serves them all,
// and each knows its parent without being known there: nearly every call ends
// long before its time and its parent's end, and would be entered in both for
// nothing.
type calls struct {
	mu    sync.Mutex
	first *patience
	timer *time.Timer // nil until there was a call
	rings time.Time   // when it does; zero if it is not set
}

// begin gives a call its time, until end at the latest. Whoever ends the parent
// calls look.
func (c *calls) begin(parent context.Context, end time.Time) *patience {
	p := &patience{parent: parent, of: c, end: end}
	p.Context, p.cancel = context.WithCancelCause(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.next = c.first; p.next != nil {
		p.next.prev = p
	}
	c.first = p
	c.ring(p.end)
	if err := parent.Err(); err != nil { // it may have ended before anybody could look here
		p.cancel(err)
	}
	return p
}

// end ends a call that has returned.
func (c *calls) end(p *patience) {
	c.mu.Lock()
	if c.has(p) {
		c.drop(p)
	}
	c.mu.Unlock()
	p.cancel(nil)
}

// look ends the calls whose time is over, or whose parent has ended.
func (c *calls) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rings = time.Time{}
	now := time.Now()
	for p := c.first; p != nil; p = p.next {
		switch {
		case p.parent.Err() != nil:
			p.cancel(p.parent.Err())
		case p.waits > 0:
		case !p.end.After(now):
			p.cancel(context.DeadlineExceeded)
		default:
			c.ring(p.end)
		}
	}
}

// ring sets the timer, unless it rings before that.
func (c *calls) ring(at time.Time) {
	if !c.rings.IsZero() && !at.Before(c.rings) {
		return
	}
	c.rings = at
	if c.timer == nil {
		c.timer = time.AfterFunc(time.Until(at), c.look)
		return
	}
	c.timer.Reset(time.Until(at))
}

func (c *calls) has(p *patience) bool { return p.prev != nil || c.first == p }

func (c *calls) drop(p *patience) {
	if p.next != nil {
		p.next.prev = p.prev
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		c.first = p.next
	}
	p.prev, p.next = nil, nil
}
