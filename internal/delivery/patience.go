package delivery

import (
	"context"
	"sync"
	"time"
)

// patience is a context that ends after a time, in which waits for tokens do
// not count: a slow limit is nobody's time-out.
type patience struct {
	context.Context

	done chan struct{}

	mu    sync.Mutex
	err   error
	timer *time.Timer
	since time.Time // when the timer was started
	left  time.Duration
	waits int // at once
}

// withPatience gives a call its time. The function that is returned ends it.
func withPatience(parent context.Context, d time.Duration) (*patience, context.CancelFunc) {
	p := &patience{Context: parent, done: make(chan struct{}), since: time.Now(), left: d}
	p.timer = time.AfterFunc(d, p.expire)
	stop := context.AfterFunc(parent, func() { p.end(parent.Err()) })
	return p, func() {
		stop()
		p.end(context.Canceled)
	}
}

// Deadline is not known before the waits are.
func (p *patience) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements [context.Context].
func (p *patience) Done() <-chan struct{} { return p.done }

// Err implements [context.Context].
func (p *patience) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
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
	if p.waits--; p.waits == 0 && p.err == nil {
		p.since = time.Now()
		p.timer.Reset(max(p.left, 0))
	}
}

// expire ends a call whose time is over; one that began to wait in the same
// moment is given what is left, which is nothing.
func (p *patience) expire() {
	p.mu.Lock()
	waits := p.waits > 0
	p.mu.Unlock()
	if !waits {
		p.end(context.DeadlineExceeded)
	}
}

func (p *patience) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
		p.timer.Stop()
		close(p.done)
	}
}
