// Package sinks is the seam between the delivery engine and the vendors: a
// [Sink] sends one event and says, by the error it returns, what the attempt
// showed. The engine decides what follows from a verdict; a sink never loops,
// sleeps, counts or logs a payload.
//
// Each vendor has a folder of its own below this one. Sinks know neither
// Kafka nor each other. To add one, copy sinks/http and follow
// docs/guides/add-a-sink.md.
package sinks

import (
	"context"
	"time"

	"holdfast.internal"
)

// Sink delivers events to one destination. Deliver is called by many
// goroutines at once, never for two events of one key at a time. It returns
// nil when the event took effect (or was proved to have done so before), else
// one of the verdicts of package holdfast, and ctx's error when it is
// cancelled before anything was sent. ctx ends with the call, and whatever
// the sink has started has to end with it: the attempt is the engine's again.
type Sink interface {
	Deliver(ctx context.Context, a *Attempt) error
}

// Func adapts a function to a [Sink].
type Func func(ctx context.Context, a *Attempt) error

// Deliver calls f.
func (f Func) Deliver(ctx context.Context, a *Attempt) error { return f(ctx, a) }

// Reconciler is a [Sink] that can find out whether an event took effect. The
// engine asks before it resends what the vendor may have forgotten.
type Reconciler interface {
	Sink
	// KeyWindow is how long the vendor surely remembers an idempotency key.
	KeyWindow() time.Duration
	// LookUp tells, from a strongly consistent read, whether the event took
	// effect. An error is a verdict of the look-up itself.
	LookUp(ctx context.Context, a *Attempt) (applied bool, err error)
}

// Bounded is a [Sink] that knows how long one attempt takes at most, waits for
// the limits aside: one of a single request takes as long as that may. A time
// for the whole attempt besides would be a second timer for each record.
type Bounded interface {
	Sink
	AttemptTime() time.Duration
}

// Attempt is one event on its way to one sink, and what the sink wants kept
// with it. The engine carries Request and Progress through tiers, dead letters
// and redrives.
type Attempt struct {
	Sink  string // the sink's configured name
	Event holdfast.Event
	// Number counts from 1 and rises only when an attempt was spent.
	Number int
	// Generation is above 0 only after a look-up has proved that nothing took
	// effect under the key before: it makes a new one.
	Generation int
	// First is when the idempotency key was first used; zero if it never was.
	First time.Time

	// Request is the frozen request of an earlier attempt, nil if there is none.
	// A sink that renders one sets it before its first byte may leave, and
	// sends an existing one unchanged. It holds no credentials. At most 48 KiB
	// compressed are kept.
	Request []byte
	// RequestSum is the SHA-256 of a frozen request that was too large to keep.
	RequestSum []byte
	// Progress is what a sink of several steps has made so far. More than 2 KiB is
	// not kept.
	Progress []byte
	// Receipt is what the vendor answered.
	Receipt Receipt
	// Gate limits what is sent; nil limits nothing. Sinks use it through Do, Pass and Hear.
	Gate Gate
}

// Key returns the idempotency key of a step; "" for a sink with one step.
func (a *Attempt) Key(step string) string {
	return holdfast.IdempotencyKey(a.Sink, a.Event.ID, step, a.Generation)
}

// Receipt names what an attempt made at the vendor.
type Receipt struct {
	ObjectID  string // the vendor's id of the object (in_123)
	RequestID string // the vendor's id of the request
	Duplicate bool   // the vendor had it already
}
