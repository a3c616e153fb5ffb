package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

// largest is the largest move there can be: a batch as large as can be read,
// and what we add to it.
const largest = kafka.MaxBatch + record.Headroom

// defaultMaxMessage is Kafka's default for a source topic, and our headroom.
const defaultMaxMessage = 1<<20 + record.Headroom

// moveRetryAfter is the pause after a move that the broker did not take.
const moveRetryAfter = time.Second

// slotLetters stands for the dead letters where nobody waits behind them.
const slotLetters = -1

// move writes the record to its next topic, in the partition number that it
// has, and settles it once all replicas have it: write before commit. Until
// then its key waits; the slot is free. A move that fails is tried again for
// as long as the partition is ours, since the only other choice is to lose it.
func (w *Worker) move(ctx context.Context, t *task, slot int) {
	w.produce(ctx, t, w.render(t, slot), slot, t.moves)
}

func (w *Worker) render(t *task, slot int) *kgo.Record {
	t.env.Sink = w.cfg.Sink
	_, epoch := w.client.GroupMetadata()
	if slot == w.sched.layout.letters {
		return w.letter(t.env, t.shard.num, epoch)
	}
	return t.env.To(w.sched.layout.names[slot], t.shard.num, epoch)
}

// letter renders a dead letter, with the headers of other tools that are asked for.
func (w *Worker) letter(env *record.Envelope, num, epoch int32) *kgo.Record {
	group := topics.Group(w.cfg.Sink)
	r := env.ToDeadLetters(topics.DeadLetters(w.cfg.Sink), num, epoch, group)
	env.AddCompat(r, group, w.cfg.CompatHeaders)
	return r
}

func (w *Worker) produce(ctx context.Context, t *task, r *kgo.Record, slot, move int) {
	due := t.env.Due
	// Counted from here: the callback may start a wait of its own, and who waits
	// for all of them must not have seen the last one go.
	w.moves.Add(1)
	w.client.Produce(context.WithoutCancel(ctx), r, func(r *kgo.Record, err error) {
		defer w.moves.Done()
		if errors.Is(err, kerr.MessageTooLarge) {
			w.alone(ctx, t, r, slot, move)
			return
		}
		w.produced(ctx, t, r, slot, move, due, err)
	})
}

func (w *Worker) produced(ctx context.Context, t *task, r *kgo.Record, slot, move int, due time.Time, err error) {
	switch {
	case err == nil && slot == slotLetters:
		w.sched.finish(t)
	case err == nil:
		w.sched.moved(t, move, slot, r.Offset, due)
	case errors.Is(err, kerr.MessageTooLarge):
		w.shrink(ctx, t, r, slot, move)
	default:
		w.log.Error("move refused by the broker", zap.String("topic", r.Topic), zap.Int32("partition", r.Partition), zap.Error(err))
		w.later(ctx, t, func() { w.produce(ctx, t, w.render(t, slot), slot, move) })
	}
}

// alone writes a record in a batch of its own, one at a time, through a client
// that lets the broker say whether it fits. The other one counts bytes before
// compression, and a record may have come compressed, many times as large as
// its topic seems to take; or a batch was refused for the size of all together.
func (w *Worker) alone(ctx context.Context, t *task, r *kgo.Record, slot, move int) {
	due := t.env.Due
	w.moves.Go(func() {
		w.oversize <- struct{}{}
		err := w.aside.ProduceSync(context.WithoutCancel(ctx), r).FirstErr()
		<-w.oversize
		w.produced(ctx, t, r, slot, move, due, err)
	})
}

// shrink makes a record that the broker finds too large fit: first without
// what we added to it; then without its value, as a pointer to its origin.
func (w *Worker) shrink(ctx context.Context, t *task, r *kgo.Record, slot, move int) {
	w.log.Error("record too large for its next topic", zap.String("topic", r.Topic),
		zap.String("origin", t.env.Event.Origin.String()), zap.Int("value_bytes", len(r.Value)))
	if t.env.Frozen != nil || t.env.Failure.Detail != "" || t.env.Attempts != nil {
		t.env.Frozen, t.env.Failure.Detail, t.env.Attempts = nil, "", nil
		w.produce(ctx, t, w.render(t, slot), slot, move)
		return
	}
	if len(r.Value) == 0 {
		w.later(ctx, t, func() { w.produce(ctx, t, w.render(t, slot), slot, move) })
		return
	}
	t.env.Failure.Code = "too_large"
	letters := w.sched.layout.letters
	pointer := w.render(t, letters)
	pointer.Value = nil
	w.produce(ctx, t, pointer, letters, move)
}

// later runs f after a pause, unless the worker ends first or loses the shard.
func (w *Worker) later(ctx context.Context, t *task, f func()) {
	w.moves.Go(func() {
		if sleep(ctx, moveRetryAfter) != nil || !w.sched.owns(t) {
			w.sched.abandon(t)
			return
		}
		f()
	})
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
