package delivery

import (
	"bytes"
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/sinkstate"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// schemaPoll is how soon a record whose schema cannot be had yet is tried again.
const schemaPoll = time.Second

// authPoll is how often refused credentials are tried again while the sink is held.
const authPoll = 30 * time.Second

// untieredPoll is how soon a record is tried again that failed for no fault of
// its own, at a sink without tiers.
const untieredPoll = time.Second

// ownThrottles in a row, while others of its scope passed, are the record's own.
const ownThrottles = 5

var errTombstone = errors.New("null value and on_tombstone is dead_letter")

// settle does what the verdict asks for.
func (w *Worker) settle(ctx context.Context, t *task, a *sinks.Attempt, err error, began time.Time) {
	if errors.Is(err, errLimited) {
		w.putOff(ctx, t, a, err)
		return
	}
	t.begun = true
	now := time.Now()
	verdict, failure := holdfast.Judge(err)
	w.meters.attempt(w.sched.layout.tier(t.slot), verdict, failure.Class, now.Sub(began))
	previous := t.env.LastFailed
	if previous.IsZero() {
		previous = began
	}
	outcome := outcomeOf(verdict, failure)
	if !bytes.Equal(a.Progress, t.env.Progress) {
		outcome = breaker.Answered // a step took effect: whatever failed after it, the destination is up
	}
	r := w.judge(t, finding{outcome: outcome, previous: previous, endpoint: t.gate.throttled(err)}, verdict, failure, now)
	if verdict == holdfast.VerdictDelivered {
		w.delivered(t, a, began, now) //nolint:contextcheck // a receipt outlives the attempt
		return
	}
	w.keep(t, a)
	t.env.Attempts = t.env.Attempts.Add(record.Entry{
		Time: began, Tier: w.historyTier(t), Class: failure.Class, Status: failure.Status,
		Code: failure.Code, RequestID: failure.RequestID, Millis: now.Sub(began).Milliseconds(),
	})
	switch verdict {
	case holdfast.VerdictPermanent, holdfast.VerdictDrift:
		if r.held { // the mapping is at fault, not the record
			t.waited = true
			t.waitsFor = sinkstate.Mapping
			w.sched.again(t, now.Add(mappingProbe))
			return
		}
		t.env.Spent++
		t.env.Fail(failure, now)
		w.bury(ctx, t)
	case holdfast.VerdictThrottled:
		w.throttled(ctx, t, err, failure, r)
	case holdfast.VerdictUnauthorized:
		w.hold(holdfast.ScopeAccount, t, authPoll, sinkstate.Unauthorized, failure)
		t.waited = true
		t.waitsFor = sinkstate.Unauthorized
		w.sched.again(t, now.Add(authPoll))
	case holdfast.VerdictUnavailable:
		w.retry(ctx, t, failure, now, false)
	case holdfast.VerdictDelivered, holdfast.VerdictTransient, holdfast.VerdictUnknown, holdfast.VerdictSplit:
		spent := w.cfg.EveryFailureSpends || !failure.Class.Systemic() || r.others
		w.retry(ctx, t, failure, now, spent)
	}
}

// putOff keeps what an attempt has made that the limits cut short. It was none:
// the record goes on where it stopped, once they let it.
func (w *Worker) putOff(ctx context.Context, t *task, a *sinks.Attempt, err error) {
	var throttle *holdfast.ThrottledError
	errors.As(err, &throttle)
	w.keep(t, a)
	if stays := w.sched.putOff(t, time.Now(), throttle.Wait); !stays {
		w.setAside(ctx, t)
	}
}

// keep notes what an attempt leaves to the next one. More progress than a record
// may carry, such as an id that a vendor made long, is not kept: the steps are
// taken again, under their keys.
func (w *Worker) keep(t *task, a *sinks.Attempt) {
	if len(a.Progress) <= record.MaxProgress {
		t.env.Progress = a.Progress
	} else {
		w.log.Error("the sink keeps more progress than a record may carry; its steps are taken again",
			zap.String("event_id", t.env.Event.ID), zap.Int("bytes", len(a.Progress)), zap.Int("allowed", record.MaxProgress))
	}
	if had, _ := t.env.Frozen.Thaw(); a.Request != nil && !bytes.Equal(had, a.Request) { // packing one takes 1 MiB
		t.env.Frozen = record.Freeze(a.Request)
	}
}

// judge tells breaker, evidence and budget what the attempt showed, and logs
// what changed thereby.
func (w *Worker) judge(t *task, found finding, verdict holdfast.Verdict, f holdfast.Failure, now time.Time) ruling {
	found.delivered = verdict == holdfast.VerdictDelivered
	found.refused = (verdict == holdfast.VerdictPermanent || verdict == holdfast.VerdictDrift) && f.Status != 0
	r := w.sched.judge(t, found, now)
	if r.breaker {
		w.breakerChanged(t.tenant.name, r, f)
	}
	switch {
	case r.began:
		w.log.Error("the vendor refuses one record after the other: the mapping is held, and one is tried every 30s",
			zap.String("reason", "dead_letter_budget"), zap.String("class", string(f.Class)), zap.Int("status", f.Status), zap.String("code", f.Code))
	case r.freed:
		w.log.Info("the mapping is free again")
	}
	return r
}

// outcomeOf says what a verdict shows of the destination.
func outcomeOf(verdict holdfast.Verdict, f holdfast.Failure) breaker.Outcome {
	switch verdict {
	case holdfast.VerdictDelivered:
		return breaker.Answered
	case holdfast.VerdictUnavailable:
		return breaker.Systemic
	case holdfast.VerdictPermanent, holdfast.VerdictDrift, holdfast.VerdictTransient, holdfast.VerdictUnknown:
		switch {
		case f.Class.Systemic():
			return breaker.Systemic
		case f.Status != 0:
			return breaker.Answered
		}
	case holdfast.VerdictThrottled, holdfast.VerdictUnauthorized, holdfast.VerdictSplit:
	}
	return breaker.Neither
}

func (w *Worker) delivered(t *task, a *sinks.Attempt, began, now time.Time) {
	if a.Receipt.Duplicate {
		w.meters.settle(t.env, outcomeDuplicate)
	} else {
		w.meters.settle(t.env, outcomeDelivered)
	}
	w.meters.age.Observe(now.Sub(t.env.Event.Time).Seconds())
	w.receipt(t, a, now.Sub(began))
}

// retry moves the record to its tier, or to the dead letters after the last
// one. An attempt that was not spent goes back to the tier it came from.
func (w *Worker) retry(ctx context.Context, t *task, f holdfast.Failure, now time.Time, spent bool) {
	if spent {
		t.env.Spent++
	}
	t.env.Fail(f, now)
	suspect := !spent && now.Sub(t.env.FirstFailed) > w.cfg.MaxSuspect
	if !spent && !suspect && len(w.cfg.Tiers) == 0 {
		w.sched.again(t, now.Add(untieredPoll))
		return
	}
	tier := max(0, t.env.Spent-1)
	if tier >= len(w.cfg.Tiers) || suspect {
		w.bury(ctx, t)
		return
	}
	delay := w.cfg.Tiers[tier]
	t.env.Due = dueIn(now, delay)
	w.meters.scheduled.WithLabelValues(w.cfg.Sink, topics.Tier(delay)).Inc()
	w.sched.depart(t)
	w.move(ctx, t, w.sched.layout.tierSlot(tier))
}

// dueIn is when a record of a tier may go: in whole milliseconds, as the header
// holds it, and never early.
func dueIn(now time.Time, delay time.Duration) time.Time {
	return now.Add(delay).Add(time.Millisecond - 1).Truncate(time.Millisecond)
}

// bury moves the record to the dead letters.
func (w *Worker) bury(ctx context.Context, t *task) {
	f := t.env.Failure
	w.letters.Warn("dead letter", zap.String("event_id", t.env.Event.ID), zap.Stringer("origin", t.env.Event.Origin),
		zap.String("class", string(f.Class)), zap.Int("status", f.Status), zap.String("code", f.Code), zap.Int("attempts", t.env.Spent))
	w.meters.bury(t.env)
	t.env.Due = time.Time{}
	w.sched.depart(t)
	w.move(ctx, t, w.sched.layout.letters)
}

// throttled holds what the vendor asked to hold; the record keeps its place
// and its attempts.
func (w *Worker) throttled(ctx context.Context, t *task, err error, f holdfast.Failure, r ruling) {
	var throttle *holdfast.ThrottledError
	errors.As(err, &throttle)
	now := time.Now()
	t.env.Fail(f, now)
	t.waited = true
	t.throttles++
	if !r.others {
		t.throttles = 1
	}
	own := t.throttles >= ownThrottles
	if own && now.Sub(t.env.FirstFailed) > w.cfg.MaxAge {
		t.env.Failure.Class = holdfast.ClassRateLimited
		w.bury(ctx, t)
		return
	}
	wait := throttle.Wait
	if wait > w.cfg.MaxHold {
		w.log.Error("the vendor asks for a longer wait than max_hold allows", zap.Duration("asked", wait), zap.Duration("max_hold", w.cfg.MaxHold))
		wait = w.cfg.MaxHold
	}
	scope := throttle.Scope
	if own {
		scope = holdfast.ScopeRecord
	}
	if wait = w.hold(scope, t, wait, sinkstate.Throttled, f); wait <= 0 {
		wait = min(firstBackoff<<min(t.throttles, 8), maxBackoff)
	}
	t.waitsFor = sinkstate.Throttled
	w.sched.again(t, now.Add(wait))
}

// hold keeps a scope from sending. It returns the wait, which is the back-off
// of the scope where the vendor named none.
func (w *Worker) hold(scope holdfast.Scope, t *task, wait time.Duration, why sinkstate.Hold, f holdfast.Failure) time.Duration {
	if scope == holdfast.ScopeRecord {
		return wait
	}
	wait, tell := w.sched.holdScope(scope, t, wait, why)
	if tell {
		w.log.Warn("held", zap.String("scope", string(scope)), endpointField(t.gate.endpoint(scope)), zap.Duration("for", wait),
			zap.String("class", string(f.Class)), zap.Int("status", f.Status), zap.String("code", f.Code))
	}
	return wait
}

func endpointField(e *endpoint) zap.Field {
	if e == nil {
		return zap.Skip()
	}
	return zap.String("endpoint", e.name)
}

// settleUnopened acts on a value that could not be opened: bad bytes are dead
// at once; a schema or registry that cannot be had yet is waited for.
func (w *Worker) settleUnopened(ctx context.Context, t *task, err error) {
	w.sched.free(t)
	verdict, failure := holdfast.Judge(err)
	switch {
	case ctx.Err() != nil:
		w.sched.abandon(t)
	case verdict == holdfast.VerdictPermanent:
		t.env.Fail(failure, time.Now())
		w.bury(ctx, t)
	default:
		t.waited = true
		if w.sched.await(failure, time.Now()) {
			w.log.Warn("waiting to read", zap.String("topic", t.env.At.Topic), zap.Int32("partition", t.env.At.Partition), zap.Int64("offset", t.env.At.Offset),
				zap.String("code", failure.Code), zap.Error(failure.Err))
		}
		w.sched.again(t, time.Now().Add(schemaPoll))
	}
}

func (w *Worker) settleTombstone(ctx context.Context, t *task) {
	w.sched.free(t)
	if w.cfg.OnTombstone == TombstoneSkip {
		w.meters.settle(t.env, outcomeDiscarded)
		w.sched.finish(t)
		return
	}
	t.env.Fail(holdfast.Failure{Class: holdfast.ClassValidation, Code: "tombstone", Err: errTombstone}, time.Now())
	w.bury(ctx, t)
}

func (w *Worker) historyTier(t *task) string {
	tier := w.sched.layout.tier(t.slot)
	if tier < 0 {
		return ""
	}
	return topics.Tier(w.cfg.Tiers[tier])
}

func (w *Worker) breakerChanged(tenant string, r ruling, f holdfast.Failure) {
	fields := []zap.Field{zap.String("state", r.state.String()), zap.Bool("tenant", tenant != "")}
	if r.state == breaker.Closed {
		w.log.Info("breaker", fields...)
		return
	}
	fields = append(fields, zap.String("class", string(f.Class)), zap.Int("status", f.Status), zap.String("code", f.Code))
	if r.probed { // it was open before, and nobody saw it half open
		w.log.Debug("the probe failed, and the breaker stays open", fields...)
		return
	}
	w.log.Warn("breaker", fields...)
}
