package processing

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/processors"
)

var (
	errDeadline = errors.New("not done within its deadline")
	errPanic    = errors.New("processor panicked")
)

// grace is what a call that obeys its context gets to return.
const grace = 100 * time.Millisecond

// call runs the processor within its deadline, on a goroutine of its own: one
// that loops for ever is left behind and costs its record, not the partition.
func (r *Runtime) call(ctx context.Context, ev holdfast.Event) ([]processors.Output, error) {
	type answer struct {
		outputs []processors.Output
		err     error
	}
	within, cancel := context.WithTimeout(ctx, processDeadline)
	defer cancel()
	done := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: r.panicked(ev, p)}
			}
			done <- a
		}()
		a.outputs, a.err = r.deps.Processor.Process(within, ev)
	}()
	select {
	case a := <-done:
		if errors.Is(a.err, context.DeadlineExceeded) && within.Err() != nil {
			return nil, late()
		}
		return a.outputs, a.err
	case <-within.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		r.stuck.leave(func() { <-done })
		r.log.Error("a call of the processor does not return", zap.String("event_id", ev.ID), zap.Int64("left_behind", r.stuck.count.Load()))
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, late()
}

func late() error {
	return holdfast.Permanent(holdfast.ClassTransform, "deadline", fmt.Errorf("%w of %s", errDeadline, processDeadline))
}

// stuck counts the calls that were left behind and still run.
type stuck struct{ count atomic.Int64 }

// leave counts a call until returned comes back, which may be never.
func (s *stuck) leave(returned func()) {
	s.count.Add(1)
	go func() {
		returned()
		s.count.Add(-1)
	}()
}

func (s *stuck) many() bool { return s.count.Load() >= maxStuck }

// panicked names the panic by where it happened, so that the dead letters of
// one bug group together. The panic's own text may hold payload and is not kept.
func (r *Runtime) panicked(ev holdfast.Event, p any) error {
	site, trace := stack()
	id := letters(trace)
	r.log.Error("processor panicked", zap.String("event_id", ev.ID), zap.String("panic_type", fmt.Sprintf("%T", p)),
		zap.String("stack_hash", id), zap.String("stack", trace))
	return holdfast.Permanent(holdfast.ClassPoison, "panic", fmt.Errorf("%w in %s, stack %s", errPanic, site, id))
}

// stack describes the panicking goroutine without addresses and arguments, so
// that one bug always gives one text; site is the function that panicked.
func stack() (site, trace string) {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	var b strings.Builder
	panicked := false
	for {
		frame, more := frames.Next()
		inside := strings.HasPrefix(frame.Function, "runtime.")
		if panicked && !inside {
			if site == "" {
				site = frame.Function
			}
			fmt.Fprintf(&b, "%s:%d\n", frame.Function, frame.Line)
		}
		panicked = panicked || frame.Function == "runtime.gopanic"
		if !more {
			return site, b.String()
		}
	}
}

// letters is a hash in letters alone: fingerprints ignore words with digits.
func letters(text string) string {
	sum := sha256.Sum256([]byte(text))
	var b strings.Builder
	for _, c := range sum[:6] {
		b.WriteByte('a' + c>>4)
		b.WriteByte('a' + c&15)
	}
	return b.String()
}
