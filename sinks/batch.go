package sinks

import (
	"context"
	"time"
)

// Batcher is a [Sink] that takes many events in one request. The engine gives
// it events of different keys only, so their order within a request is free.
type Batcher interface {
	Sink
	// Batch says how large a request may be, and how long filling it is worth waiting for.
	Batch() BatchLimits
	// DeliverBatch sends attempts in one request and returns a verdict for each,
	// in their order; nil for delivered. Where the request failed as a whole and
	// one of the events may be to blame, it returns a [holdfast.SplitError] for
	// each: the engine then sends smaller batches, down to one event.
	DeliverBatch(ctx context.Context, batch []*Attempt) []error
}

// BatchLimits bound one request. The first bound that is met sends it.
type BatchLimits struct {
	Events int           // at most; below 2 nothing is batched
	Bytes  int           // of payload in the wire format; 0: not bounded
	Linger time.Duration // for more events, once the first is there; 0: takes what is ready
}
