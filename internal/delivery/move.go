package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

// defaultMaxMessage is Kafka's default for a source topic, and our headroom.
const defaultMaxMessage = 1<<20 + record.Headroom

// moveRetryAfter is the pause after a move that the broker did not take.
const moveRetryAfter = time.Second

type moveKind int

const (
	moveRetry moveKind = iota
	moveBury
)

// move writes the record to its next topic, in the partition number that it
// has, and settles it once all replicas have it: write before commit. Until
// then its lane waits; the slot is free. A move that fails is tried again for
// as long as the partition is ours, since the only other choice is to lose it.
func (w *Worker) move(ctx context.Context, t *task, topic string, kind moveKind) {
	w.produce(ctx, t, w.render(t, topic, kind), kind)
}

func (w *Worker) render(t *task, topic string, kind moveKind) *kgo.Record {
	t.env.Sink = w.cfg.Sink
	_, epoch := w.client.GroupMetadata()
	if kind == moveBury {
		return t.env.ToDeadLetters(topic, t.part.num, epoch, topics.Group(w.cfg.Sink))
	}
	return t.env.To(topic, t.part.num, epoch)
}

func (w *Worker) produce(ctx context.Context, t *task, r *kgo.Record, kind moveKind) {
	w.client.Produce(context.WithoutCancel(ctx), r, func(r *kgo.Record, err error) {
		switch {
		case err == nil:
			w.sched.finish(t)
		case errors.Is(err, kerr.MessageTooLarge):
			w.shrink(ctx, t, r, kind)
		default:
			w.log.Error("move refused by the broker", zap.String("topic", r.Topic), zap.Int32("partition", r.Partition), zap.Error(err))
			w.later(ctx, t, func() { w.move(ctx, t, r.Topic, kind) })
		}
	})
}

// shrink makes a record that the broker finds too large fit: first without
// what we added to it; then without its value, as a pointer to its origin.
func (w *Worker) shrink(ctx context.Context, t *task, r *kgo.Record, kind moveKind) {
	w.log.Error("record too large for its next topic", zap.String("topic", r.Topic),
		zap.String("origin", t.env.Event.Origin.String()), zap.Int("value_bytes", len(r.Value)))
	if t.env.Frozen != nil || t.env.Failure.Detail != "" || t.env.Attempts != nil {
		t.env.Frozen, t.env.Failure.Detail, t.env.Attempts = nil, "", nil
		w.move(ctx, t, r.Topic, kind)
		return
	}
	t.env.Failure.Code = "too_large"
	pointer := w.render(t, topics.DeadLetters(w.cfg.Sink), moveBury)
	if pointer.Value == nil && r.Value == nil {
		w.later(ctx, t, func() { w.move(ctx, t, r.Topic, kind) })
		return
	}
	pointer.Value = nil
	w.produce(ctx, t, pointer, moveBury)
}

// later runs f after a pause, unless the worker ends first or loses the partition.
func (w *Worker) later(ctx context.Context, t *task, f func()) {
	w.moves.Go(func() {
		if sleep(ctx, moveRetryAfter) != nil || !w.sched.owns(t) {
			w.sched.abandon(t)
			return
		}
		f()
	})
}
