package delivery

import (
	"cmp"
	"context"
	"errors"
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// errBatchPanic stands for a panic of a sink over a batch.
var errBatchPanic = errors.New("the sink panicked over a batch")

// riders takes more records of a tenant that may be sent now, to go with the
// one that has the slot: one request, one slot, one token of the rate.
func (s *scheduler) riders(lead *task, events, size int) []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*task
	tn := lead.tenant
	for len(out) < events && tn.queue.len() > 0 && !s.closed && !s.letters.held {
		t := tn.queue.first()
		if size -= len(t.env.Payload); size < 0 {
			break
		}
		s.dequeue(tn)
		s.lift(t)
		t.rider = true
		out = append(out, t)
	}
	return out
}

// handleBatch takes a record, and those that can go with it, to verdicts.
func (w *Worker) handleBatch(lead *task) {
	limits := w.batcher.Batch()
	room := limits.Bytes - len(lead.env.Payload)
	if limits.Bytes <= 0 {
		room = maxHeldBytes
	}
	tasks := append([]*task{lead}, w.sched.riders(lead, limits.Events-1, room)...)
	if missing := limits.Events - len(tasks); missing > 0 && limits.Linger > 0 {
		lead.gate.giveBack(time.Now()) // others may send while the batch fills; it pays when it goes
		if sleep(lead.shard.sends, limits.Linger) == nil {
			for _, t := range tasks[1:] {
				room -= len(t.env.Payload)
			}
			tasks = append(tasks, w.sched.riders(lead, missing, room)...)
		}
	}
	var batch []*member
	for _, t := range tasks {
		t.gate = lead.gate
		if m := w.board(t); m != nil {
			batch = append(batch, m)
		}
	}
	w.sendBatch(batch)
}

// member is one record of a batch.
type member struct {
	t     *task
	a     *sinks.Attempt
	began time.Time
}

// board makes a record ready for a batch; nil for one that is settled without,
// or that has to be looked up first and goes alone.
func (w *Worker) board(t *task) *member {
	ctx := t.shard.sends
	if !w.prepare(ctx, t) {
		return nil
	}
	if w.pastKeyWindow(t) {
		w.handle(ctx, t)
		return nil
	}
	m := &member{t: t}
	m.a, m.began = w.begin(t)
	return m
}

// sendBatch sends a batch and settles its members. What failed as a whole is
// sent again in halves, so that one bad record ends alone.
func (w *Worker) sendBatch(batch []*member) {
	if len(batch) == 0 {
		return
	}
	verdicts := w.deliverBatch(batch)
	var split []*member
	for i, m := range batch {
		err := verdicts[i]
		var whole *holdfast.SplitError
		switch ctx := m.t.shard.sends; {
		case errors.As(err, &whole) && len(batch) > 1:
			split = append(split, m)
		case err != nil && ctx.Err() != nil:
			w.sched.free(m.t)
			w.sched.abandon(m.t)
		default:
			w.settle(ctx, m.t, m.a, err, m.began)
		}
	}
	if len(split) == len(batch) {
		w.sendBatch(split[:len(split)/2])
		w.sendBatch(split[len(split)/2:])
		return
	}
	w.sendBatch(split)
}

// deliverBatch calls the sink within its time-out. After a panic the batch is
// split, to find whose fault it is.
func (w *Worker) deliverBatch(batch []*member) (verdicts []error) {
	if len(batch) == 1 {
		return []error{w.deliver(batch[0].t.shard.sends, batch[0].t, batch[0].a)}
	}
	all := func(err error) []error {
		same := make([]error, len(batch))
		for i := range same {
			same[i] = err
		}
		return same
	}
	defer func() {
		if recover() != nil {
			verdicts = all(&holdfast.SplitError{Failure: holdfast.Failure{Class: holdfast.ClassPoison, Code: "panic", Err: errBatchPanic}})
		}
	}()
	// Once it is under way a batch outlives the shards of its members: a revoke of
	// one waits for it for a while, and does not cancel it.
	err := batch[0].t.gate.call(w.life, w.cfg.Timeout, func(ctx context.Context) error {
		verdicts = w.callBatch(ctx, batch)
		return hardest(verdicts)
	})
	if verdicts == nil && err != nil { // it was not called
		return all(err)
	}
	return verdicts
}

// callBatch calls the sink for those members whose shards are still this
// worker's: the batch may have waited long to be let go.
func (w *Worker) callBatch(ctx context.Context, batch []*member) []error {
	verdicts := make([]error, len(batch))
	var attempts []*sinks.Attempt
	var of []int // the members that these are of
	for i, m := range batch {
		if verdicts[i] = m.t.shard.sends.Err(); verdicts[i] == nil {
			attempts, of = append(attempts, m.a), append(of, i)
		}
	}
	if len(attempts) == 0 {
		return verdicts
	}
	told := w.batcher.DeliverBatch(ctx, attempts)
	for n, i := range of {
		if len(told) != len(attempts) { // nobody knows which is whose
			verdicts[i] = &holdfast.SplitError{Failure: holdfast.Failure{Class: holdfast.ClassUncertain, Err: errVerdicts}}
			continue
		}
		verdicts[i] = told[n]
	}
	return verdicts
}

// hardest is the verdict of a batch that the limits have to know: a throttle, else any.
func hardest(verdicts []error) (worst error) {
	for _, err := range verdicts {
		if _, ok := errors.AsType[*holdfast.ThrottledError](err); ok {
			return err
		}
		worst = cmp.Or(worst, err)
	}
	return worst
}

var errVerdicts = errors.New("the sink returned another number of verdicts than it was given events")
