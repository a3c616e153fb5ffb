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

	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	since time.Time // when the timer was started
	left  time.Duration
	waits int // at once
}

// withPatience gives a call its time, until end.
func withPatience(parent context.Context, d time.Duration) *patience {
	ctx, cancel := context.WithCancelCause(parent)
	p := &patience{Context: ctx, cancel: cancel, since: time.Now(), left: d}
	p.timer = time.AfterFunc(d, p.expire)
	return p
}

// Deadline is when the call ends if it waits for no token any more: true of
// whatever it does with it, as a request that is under way waits for none.
func (p *patience) Deadline() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since.Add(p.left), true
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
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits++; p.waits == 1 && p.timer.Stop() {
		p.left -= time.Since(p.since)
	}
	return p.resume
}

func (p *patience) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits--; p.waits == 0 && p.Context.Err() == nil {
		p.since = time.Now()
		p.timer.Reset(max(p.left, 0))
	}
}

// expire ends a call whose time is over; one that began to wait in the same
// moment is given what is left, which is nothing.
func (p *patience) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits == 0 {
		p.cancel(context.DeadlineExceeded)
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	p.cancel(nil)
}
