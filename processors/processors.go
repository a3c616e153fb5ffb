// Package processors is the seam for transforms: pure functions from one
// record to others, over generated Avro types. The runtime reads, decodes,
// calls, encodes and writes results and offsets in one Kafka transaction; a
// processor meets no Kafka, no bytes, no retry and no network.
//
// Each transform has a folder of its own below this one, with case files that
// show what it does. docs/guides/add-a-processor.md is the checklist.
package processors

import (
	"context"

	"holdfast.internal"
)

// Output is one record that a processor made. Value is a generated type of
// package schemas; the runtime knows its topic from the configuration.
type Output struct {
	Key   string
	Value any
}

// Processor turns one event into any number of outputs. An error is final (the
// event goes to dlq.<processor>) unless it is a holdfast.TransientError, for
// which its partition waits. A panic is an error of class poison.
type Processor interface {
	Process(ctx context.Context, ev holdfast.Event) ([]Output, error)
}

// Func adapts a function to a [Processor].
type Func func(ctx context.Context, ev holdfast.Event) ([]Output, error)

// Process calls f.
func (f Func) Process(ctx context.Context, ev holdfast.Event) ([]Output, error) { return f(ctx, ev) }

// Map makes a [Processor] of a typed pure function: it decodes the event's
// value into In and keys each output by key.
func Map[In, Out any](transform func(context.Context, In) ([]Out, error), key func(Out) string) Processor {
	return Func(func(ctx context.Context, ev holdfast.Event) ([]Output, error) {
		var in In
		if err := ev.Value.Decode(&in); err != nil {
			return nil, err
		}
		results, err := transform(ctx, in)
		if err != nil {
			return nil, err
		}
		outputs := make([]Output, len(results))
		for i := range results {
			outputs[i] = Output{Key: key(results[i]), Value: &results[i]}
		}
		return outputs, nil
	})
}
