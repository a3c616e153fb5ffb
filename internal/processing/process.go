package processing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

var (
	errTombstone = errors.New("null value")
	errTooLarge  = errors.New("output is larger than its topic takes")
)

// handle brings one record to its outputs or its dead letter, however long
// that has to wait. epoch is the group's generation; waits is called before
// each wait. False: ctx ended.
func (r *Runtime) handle(ctx context.Context, in *kgo.Record, epoch int32, waits func()) (result, bool) {
	trust := record.FromProducer
	if in.Topic == topics.Redrive(r.cfg.Name) {
		trust = record.FromHoldfast
	}
	env := record.Read(in, trust)
	for tries := 0; ; tries++ {
		made, err := r.process(ctx, env)
		switch {
		case ctx.Err() != nil:
			return result{}, false
		case err == nil && len(made) == 0:
			return result{outcome: filtered}, true
		case err == nil:
			return result{outputs: made, outcome: ok}, true
		case !canWait(err):
			return result{outputs: []*kgo.Record{r.deadLetter(env, epoch, err)}, outcome: failed, broke: breachOf(err)}, true
		}
		if tries == 0 {
			r.log.Warn("partition waits", zap.String("origin", env.Event.Origin.String()), zap.Error(err))
		}
		waits()
		if !sleep(ctx, backoff(err, tries)) {
			return result{}, false
		}
	}
}

// canWait reports whether a failure is not the record's own: a schema that is
// not known yet, the registry, or what the processor calls transient.
func canWait(err error) bool {
	var transient *holdfast.TransientError
	var unavailable *holdfast.UnavailableError
	return errors.As(err, &transient) || errors.As(err, &unavailable)
}

// backoff grows from a second to half a minute. Schemas are asked for every
// second: the serde knows when it may ask the registry again.
func backoff(err error, tries int) time.Duration {
	if _, f := holdfast.Judge(err); f.Class == holdfast.ClassSchema {
		return waitFirst
	}
	return min(waitFirst<<min(tries, 10), waitMost)
}

// process opens a record, calls the processor and encodes what it made.
func (r *Runtime) process(ctx context.Context, env *record.Envelope) ([]*kgo.Record, error) {
	if env.Payload == nil {
		if r.cfg.SkipTombstones {
			return nil, nil
		}
		return nil, holdfast.Permanent(holdfast.ClassValidation, "tombstone", errTombstone)
	}
	value, err := r.deps.Serde.Open(ctx, env.Event.Origin.Topic, env.Payload, env.Event.Headers)
	if err != nil {
		return nil, err
	}
	ev := env.Event
	ev.Value = value
	began := time.Now()
	outputs, err := r.call(ctx, ev)
	r.metrics.seconds.Observe(time.Since(began).Seconds())
	if err != nil {
		return nil, err
	}
	made := make([]*kgo.Record, len(outputs))
	for i, out := range outputs {
		wire, err := r.deps.Serde.Encode(ctx, r.cfg.Out, out.Value)
		if err != nil {
			return nil, err
		}
		made[i] = r.outputRecord(env, i+1, out.Key, wire)
		if size := sizeOf(made[i]); size > int(r.batchLimit(r.cfg.Out)) {
			return nil, holdfast.Permanent(holdfast.ClassPoison, "too_large", fmt.Errorf("%d bytes: %w", size, errTooLarge))
		}
	}
	return made, nil
}
