package delivery

import (
	"context"
	"sync"
	"time"
)

// hold keeps a whole sink from sending until a time. A later time wins; a
// shorter wait never cuts a longer one.
type hold struct {
	mu     sync.Mutex
	until  time.Time
	streak int // holds in a row without a delivery between them
}

const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = time.Minute
)

// backoff returns the wait for one more hold in a row: 250ms, 500ms, 1s … 1m.
func (h *hold) backoff() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := firstBackoff << min(h.streak, 8)
	return min(d, maxBackoff)
}

// extend holds until t and reports whether the sink was not held before.
func (h *hold) extend(t time.Time) (began bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	began = !h.until.After(time.Now())
	if began {
		h.streak++
	}
	if t.After(h.until) {
		h.until = t
	}
	return began
}

// passed notes a delivery: the next hold starts with the shortest back-off.
func (h *hold) passed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streak = 0
}

// wait returns when the sink is not held, or with ctx's error.
func (h *hold) wait(ctx context.Context) error {
	for {
		h.mu.Lock()
		d := time.Until(h.until)
		h.mu.Unlock()
		if d <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

// sleep waits for d or ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
