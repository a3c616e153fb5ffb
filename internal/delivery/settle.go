package delivery

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// schemaPoll is how soon a record whose schema cannot be had yet is tried again.
const schemaPoll = time.Second

// authPoll is how often refused credentials are tried again while the sink is held.
const authPoll = 30 * time.Second

var errTombstone = errors.New("null value and on_tombstone is dead_letter")

// settle does what the verdict asks for.
func (w *Worker) settle(ctx context.Context, t *task, a *sinks.Attempt, err error, began time.Time) {
	now := time.Now()
	verdict, failure := holdfast.Judge(err)
	w.meters.attempt(w.tierLabel(t), verdict, failure.Class, now.Sub(began))
	if answeredAbout(verdict, failure) {
		w.evidence.answered(t.env.Event.ID, now)
	}
	if verdict == holdfast.VerdictDelivered {
		w.delivered(t, a)
		return
	}
	t.env.Progress = a.Progress
	if a.Request != nil {
		t.env.Frozen = record.Freeze(a.Request)
	}
	previous := t.env.LastFailed
	if previous.IsZero() {
		previous = began
	}
	t.env.Attempts = t.env.Attempts.Add(record.Entry{
		Time: began, Tier: w.historyTier(t), Class: failure.Class, Status: failure.Status,
		Code: failure.Code, RequestID: failure.RequestID, Millis: now.Sub(began).Milliseconds(),
	})
	switch verdict {
	case holdfast.VerdictPermanent, holdfast.VerdictDrift:
		t.env.Spent++
		t.env.Fail(failure, now)
		w.bury(ctx, t)
	case holdfast.VerdictThrottled:
		w.throttled(t, err, failure)
	case holdfast.VerdictUnauthorized:
		w.holdSink(authPoll, failure)
		t.waits++
		w.sched.again(t, authPoll)
	case holdfast.VerdictUnavailable:
		w.retry(ctx, t, failure, now, false)
	case holdfast.VerdictDelivered, holdfast.VerdictTransient, holdfast.VerdictUnknown, holdfast.VerdictSplit:
		w.retry(ctx, t, failure, now, w.spends(t, failure, previous))
	}
}

// answeredAbout reports whether the destination said something about the
// record: it is up, whatever it said.
func answeredAbout(verdict holdfast.Verdict, f holdfast.Failure) bool {
	switch verdict {
	case holdfast.VerdictDelivered:
		return true
	case holdfast.VerdictPermanent, holdfast.VerdictDrift, holdfast.VerdictTransient:
		return f.Status != 0 && !f.Class.Systemic()
	default:
		return false
	}
}

// spends reports whether a failure is the record's own.
func (w *Worker) spends(t *task, f holdfast.Failure, previous time.Time) bool {
	return w.cfg.EveryFailureSpends || !f.Class.Systemic() || w.evidence.since(previous, t.env.Event.ID)
}

func (w *Worker) delivered(t *task, a *sinks.Attempt) {
	w.hold.passed()
	if a.Receipt.Duplicate {
		w.meters.duplicate.Inc()
	} else {
		w.meters.delivered.Inc()
	}
	w.meters.age.Observe(time.Since(t.env.Event.Time).Seconds())
	w.sched.finish(t)
}

// retry moves the record to its tier, or to the dead letters after the last
// one. An attempt that was not spent goes back to the tier it came from.
func (w *Worker) retry(ctx context.Context, t *task, f holdfast.Failure, now time.Time, spent bool) {
	if spent {
		t.env.Spent++
	}
	t.env.Fail(f, now)
	suspect := now.Sub(t.env.FirstFailed) > w.cfg.MaxSuspect
	tier := max(0, t.env.Spent-1)
	if tier >= len(w.cfg.Tiers) || suspect {
		w.bury(ctx, t)
		return
	}
	delay := w.cfg.Tiers[tier]
	t.env.Due = now.Add(delay)
	w.meters.scheduled.WithLabelValues(w.cfg.Sink, topics.Tier(delay)).Inc()
	w.move(ctx, t, topics.Retry(w.cfg.Sink, delay), moveRetry)
}

// bury moves the record to the dead letters.
func (w *Worker) bury(ctx context.Context, t *task) {
	w.meters.dead.WithLabelValues(w.cfg.Sink, string(t.env.Failure.Class)).Inc()
	w.meters.buried.Inc()
	w.move(ctx, t, topics.DeadLetters(w.cfg.Sink), moveBury)
}

// throttled holds what the vendor asked to hold; the record keeps its place
// and its attempts.
func (w *Worker) throttled(t *task, err error, f holdfast.Failure) {
	var throttle *holdfast.ThrottledError
	errors.As(err, &throttle)
	wait := throttle.Wait
	if wait <= 0 {
		wait = w.hold.backoff()
	}
	wait = min(wait, w.cfg.MaxHold)
	if throttle.Scope != holdfast.ScopeRecord {
		w.holdSink(wait, f)
	}
	t.waits++
	w.sched.again(t, wait)
}

func (w *Worker) holdSink(wait time.Duration, f holdfast.Failure) {
	if w.hold.extend(time.Now().Add(wait)) {
		w.log.Warn("sink held", zap.Duration("for", wait), zap.String("class", string(f.Class)),
			zap.Int("status", f.Status), zap.String("code", f.Code))
	}
}

// settleUnopened acts on a value that could not be opened: bad bytes are dead
// at once; a schema or registry that cannot be had yet is waited for.
func (w *Worker) settleUnopened(ctx context.Context, t *task, err error) {
	verdict, failure := holdfast.Judge(err)
	switch {
	case ctx.Err() != nil:
		w.sched.abandon(t)
	case verdict == holdfast.VerdictPermanent:
		t.env.Fail(failure, time.Now())
		w.bury(ctx, t)
	default:
		t.waits++
		w.sched.again(t, schemaPoll)
	}
}

func (w *Worker) settleTombstone(ctx context.Context, t *task) {
	if w.cfg.OnTombstone == TombstoneSkip {
		w.meters.discarded.Inc()
		w.sched.finish(t)
		return
	}
	t.env.Fail(holdfast.Failure{Class: holdfast.ClassValidation, Code: "tombstone", Err: errTombstone}, time.Now())
	w.bury(ctx, t)
}

// tierLabel names where the record was read, for metrics.
func (w *Worker) tierLabel(t *task) string {
	if tier := w.historyTier(t); tier != "" {
		return tier
	}
	return sourceTier
}

func (w *Worker) historyTier(t *task) string {
	if t.part.tier < 0 {
		return ""
	}
	return topics.Tier(w.cfg.Tiers[t.part.tier])
}
