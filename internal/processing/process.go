package processing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/processors"
)

// maxOutput bounds one output record: Kafka's default limit of a topic.
const maxOutput = 1_000_000

var (
	errTombstone = errors.New("null value")
	errTooLarge  = errors.New("output is larger than a topic takes")
	errDeadline  = errors.New("not done within its deadline")
)

// process opens a record, calls the processor and encodes what it made.
func (r *Runtime) process(ctx context.Context, env *record.Envelope) ([]*kgo.Record, error) {
	if env.Payload == nil {
		return nil, holdfast.Permanent(holdfast.ClassValidation, "tombstone", errTombstone)
	}
	value, err := r.deps.Serde.Open(ctx, env.Event.Origin.Topic, env.Payload, env.Event.Headers)
	if err != nil {
		return nil, err
	}
	ev := env.Event
	ev.Value = value
	outputs, err := r.call(ctx, ev)
	if err != nil {
		return nil, err
	}
	made := make([]*kgo.Record, len(outputs))
	for i, out := range outputs {
		wire, err := r.deps.Serde.Encode(ctx, r.cfg.Out, out.Value)
		if err != nil {
			return nil, err
		}
		if len(wire)+len(out.Key) > maxOutput {
			return nil, holdfast.Permanent(holdfast.ClassPoison, "too_large", fmt.Errorf("%d bytes: %w", len(wire), errTooLarge))
		}
		made[i] = r.outputRecord(env, i+1, out.Key, wire)
	}
	return made, nil
}

// call runs the processor within its deadline, on a goroutine of its own: one
// that loops for ever is left behind and costs its record, not the partition.
func (r *Runtime) call(ctx context.Context, ev holdfast.Event) ([]processors.Output, error) {
	type result struct {
		outputs []processors.Output
		err     error
	}
	ctx, cancel := context.WithTimeout(ctx, processDeadline)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		var res result
		defer func() {
			if p := recover(); p != nil {
				res = result{err: r.panicked(ev, p, debug.Stack())}
			}
			done <- res
		}()
		res.outputs, res.err = r.deps.Processor.Process(ctx, ev)
	}()
	select {
	case res := <-done:
		return res.outputs, res.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, holdfast.Permanent(holdfast.ClassTransform, "deadline", fmt.Errorf("%w of %s", errDeadline, processDeadline))
		}
		return nil, ctx.Err()
	}
}

// panicked logs the stack and names it by its hash, so that dead letters of
// one bug group together; the panic's text may hold payload and is not kept.
func (r *Runtime) panicked(ev holdfast.Event, p any, stack []byte) error {
	sum := sha256.Sum256(stack)
	id := hex.EncodeToString(sum[:6])
	r.log.Error("processor panicked", zap.String("event_id", ev.ID), zap.String("panic_type", fmt.Sprintf("%T", p)),
		zap.String("stack_hash", id), zap.ByteString("stack", stack))
	return holdfast.Permanent(holdfast.ClassPoison, "panic", fmt.Errorf("panic, stack %s", id)) //nolint:err113 // told, never compared
}
