package delivery

import (
	"context"
	"errors"
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
