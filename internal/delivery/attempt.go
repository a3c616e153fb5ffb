package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/sinks"
)

// maxAgain and againAfter bound the quick repeats that belong to one attempt
// (lock conflicts, refused connections): two, within a second.
const maxAgain = 2

const againAfter = 300 * time.Millisecond

// errSinkPanic stands for a panic of a sink; the stack goes to the log.
var errSinkPanic = errors.New("the sink panicked")

// work sends records until the scheduler is closed.
func (w *Worker) work() {
	var g gate
	for {
		t := w.sched.next(&g)
		if t == nil {
			return
		}
		if w.batcher != nil {
			w.handleBatch(t)
			continue
		}
		w.handle(t.shard.sends, t)
	}
}

// handle takes one record to a verdict and acts on it.
func (w *Worker) handle(ctx context.Context, t *task) {
	if !w.prepare(ctx, t) {
		return
	}
	forgotten := w.pastKeyWindow(t)
	a, began := w.begin(t)
	err := w.send(ctx, t, a, forgotten)
	if ctx.Err() != nil && err != nil {
		// Cancelled by the end of the worker or of its partition: whatever the
		// sink says about it says nothing about the destination.
		w.sched.free(t)
		w.sched.abandon(t)
		return
	}
	w.settle(ctx, t, a, err, began)
}

// prepare opens a record that is to be sent; false for one that is settled
// without that.
func (w *Worker) prepare(ctx context.Context, t *task) bool {
	if err := w.open(ctx, t); err != nil {
		w.settleUnopened(ctx, t, err)
		return false
	}
	if t.env.Payload == nil && w.cfg.OnTombstone != TombstoneDelete {
		w.settleTombstone(ctx, t)
		return false
	}
	return true
}

// open decodes the record's value, once.
func (w *Worker) open(ctx context.Context, t *task) error {
	if t.env.Payload == nil || t.env.Event.Value != nil {
		return nil
	}
	value, err := w.deps.Open(ctx, t.env.Event.Origin.Topic, t.env.Payload, t.env.Event.Headers)
	if err != nil {
		return err
	}
	t.env.Event.Value = value
	return nil
}

// begin begins an attempt.
func (w *Worker) begin(t *task) (a *sinks.Attempt, began time.Time) {
	w.observeLateness(t)
	began = time.Now()
	if t.env.FirstAttempt.IsZero() {
		t.env.FirstAttempt = began
	}
	return w.attempt(t), began
}

func (w *Worker) attempt(t *task) *sinks.Attempt {
	request, sum := t.env.Frozen.Thaw()
	a := &sinks.Attempt{
		Sink: w.cfg.Sink, Event: t.env.Event, Number: t.env.Spent + 1, Generation: t.env.Generation,
		Request: request, RequestSum: sum, Progress: t.env.Progress, Gate: t.gate,
	}
	if t.env.Hop > 0 || t.waited {
		a.First = t.env.FirstAttempt
	}
	return a
}

// send calls the sink: after a look-up where the vendor may have forgotten the
// key, again for quick repeats, and once more where a look-up proved that
// nothing took effect.
func (w *Worker) send(ctx context.Context, t *task, a *sinks.Attempt, forgotten bool) error {
	if forgotten {
		applied, err := w.lookUp(ctx, t, a)
		if applied || err != nil {
			a.Receipt.Duplicate = applied
			return err
		}
	}
	err := w.deliver(ctx, t, a)
	for range maxAgain {
		again, ok := errors.AsType[*holdfast.TransientError](err)
		if !ok || !again.Again || sleep(ctx, againAfter) != nil {
			break
		}
		err = w.deliver(ctx, t, a)
	}
	unknown, ok := errors.AsType[*holdfast.UnknownError](err)
	if !ok || w.reconciler == nil {
		return err
	}
	applied, lookErr := w.lookUp(ctx, t, a)
	switch {
	case applied:
		a.Receipt.Duplicate = true
		return nil
	case lookErr != nil:
		return lookErr
	}
	if unknown.Status != 0 {
		// The vendor stored an answer under this key and would repeat it for
		// ever, and nothing took effect: a new key is safe and needed.
		t.env.Generation++
		t.env.Frozen = record.Frozen{}
		a.Generation, a.Request, a.RequestSum = t.env.Generation, nil, nil
	}
	return w.deliver(ctx, t, a)
}

// pastKeyWindow reports whether the vendor may have forgotten the key of an
// earlier attempt. After a kill nobody knows whether the first one began, so
// the age of a record that has no first attempt counts from its timestamp: of
// one in the source, and of one that was spilled before it was attempted.
func (w *Worker) pastKeyWindow(t *task) bool {
	if w.reconciler == nil {
		return false
	}
	first := t.env.FirstAttempt
	if t.env.Hop == 0 || first.IsZero() {
		first = t.env.Event.Time
	}
	return time.Since(first) > w.reconciler.KeyWindow()
}

func (w *Worker) lookUp(ctx context.Context, t *task, a *sinks.Attempt) (applied bool, err error) {
	err = t.gate.call(ctx, w.cfg.Timeout, func(ctx context.Context) error {
		applied, err = w.reconciler.LookUp(ctx, a)
		return err
	})
	return applied, err
}

// deliver calls the sink within its time-out. A panic is the record's fault.
func (w *Worker) deliver(ctx context.Context, t *task, a *sinks.Attempt) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("sink panicked", zap.String("event_id", a.Event.ID), zap.String("panic", fmt.Sprintf("%T", p)),
				zap.ByteString("stack", debug.Stack()))
			err = holdfast.Permanent(holdfast.ClassPoison, "panic", errSinkPanic)
		}
	}()
	return t.gate.call(ctx, w.cfg.Timeout, func(ctx context.Context) error { return w.deps.Sink.Deliver(ctx, a) })
}

func (w *Worker) observeLateness(t *task) {
	if !t.at.IsZero() && !t.waited {
		w.meters.lateness.WithLabelValues(w.cfg.Sink, w.meters.tiers[1+w.sched.layout.tier(t.slot)]).Observe(max(0, time.Since(w.sched.freeSince(t)).Seconds()))
	}
}
