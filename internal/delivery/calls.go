package delivery

import (
	"context"
	"sync"
	"time"
)

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
