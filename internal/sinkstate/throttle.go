package sinkstate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// Throttle is what a vendor has asked of a sink: to be left alone until a time.
// That binds whoever sends, so it outlives the worker that was told. What was
// asked of single tenants is not among it, nor of more than one endpoint.
type Throttle struct {
	Until    time.Time // of the whole sink; the zero time for nothing
	Endpoint string    // "" for none
	FreeAt   time.Time // of the endpoint
}

// throttle is the part of a state that is a vendor's word and not over.
func (s State) throttle(now time.Time) (t Throttle) {
	if s.Held == Throttled && s.Tenants == 0 && s.Until.After(now) {
		t.Until = s.Until
	}
	if s.Endpoint != "" && s.FreeAt.After(now) {
		t.Endpoint, t.FreeAt = s.Endpoint, s.FreeAt
	}
	return t
}

// after is a state without a vendor's word that is over: a worker that has left
// does not take it back.
func (s State) after(now time.Time) State {
	if s.Held == Throttled && !s.Until.After(now) {
		s.Held, s.Until, s.Tenants = NotHeld, time.Time{}, 0
	}
	if !s.FreeAt.After(now) {
		s.Endpoint, s.FreeAt = "", time.Time{}
	}
	return s
}

// and is the longer of what two workers were told.
func (t Throttle) and(o Throttle) Throttle {
	if o.Until.After(t.Until) {
		t.Until = o.Until
	}
	if o.FreeAt.After(t.FreeAt) {
		t.Endpoint, t.FreeAt = o.Endpoint, o.FreeAt
	}
	return t
}

// Throttles returns what vendors have asked of sinks and is not over, from
// whichever of their workers said it, those that are no more too. A cluster
// without the topic knows of nothing.
func Throttles(ctx context.Context, admin *kadm.Client, scanner scan.Scanner, now time.Time) (map[string]Throttle, error) {
	said, err := lastWords(ctx, admin, scanner, time.Time{})
	found := map[string]Throttle{}
	for _, s := range said {
		if t := s.throttle(now); t != (Throttle{}) {
			found[s.Sink] = found[s.Sink].and(t)
		}
	}
	return found, err
}

// Follow calls each for what a vendor has asked of a sink, as its workers tell of
// it from now on, until ctx ends. refused is told where that may not be read.
func Follow(ctx context.Context, connect []kgo.Opt, each func(s State, t Throttle), refused func(error)) error {
	return scan.Follow(ctx, connect, topics.Sinks, func(r *kgo.Record) {
		var s State
		if json.Unmarshal(r.Value, &s) != nil {
			return
		}
		if t := s.throttle(time.Now()); t != (Throttle{}) {
			each(s, t)
		}
	}, refused)
}

// Lift takes back what workers of a sink said of throttles, for a person who
// knows better than the vendor. Workers that run say how they stand anew.
func Lift(ctx context.Context, client *kgo.Client, scanner scan.Scanner, sink string, now time.Time) error {
	said, err := lastWords(ctx, kadm.NewClient(client), scanner, time.Time{})
	if err != nil {
		return fmt.Errorf("%s: %w", topics.Sinks, err)
	}
	for _, s := range said {
		if s.Sink != sink || s.throttle(now) == (Throttle{}) {
			continue
		}
		s = s.after(s.Until).after(s.FreeAt) // as if both were over
		s.At = now.UTC().Truncate(time.Millisecond)
		record, err := s.Record()
		if err != nil {
			return err
		}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return fmt.Errorf("%s: %w", topics.Sinks, err)
		}
	}
	return nil
}
