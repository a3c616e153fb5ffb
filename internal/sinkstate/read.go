package sinkstate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// How long it is believed what a worker said.
const (
	believed      = time.Minute
	plainBelieved = 2 * plainEvery
)

// readBudget bounds the reading of states, which are few.
const readBudget = 5 * time.Second

// errPartly reports that brokers did not send all that was said.
var errPartly = errors.New("not all of it could be read")

// Read returns how each sink stands that somebody told of lately, as far as it
// could be read in 5 s; of several workers the graver words. A cluster without
// the topic knows of none.
func Read(ctx context.Context, admin *kadm.Client, scanner scan.Scanner, now time.Time) (map[string]State, error) {
	said, err := lastWords(ctx, admin, scanner, now.Add(-plainBelieved))
	if errors.Is(err, errPartly) {
		err = nil
	}
	return join(said, now), err
}

// lastWords are what each worker said last, by key; of those that said
// something since a time.
func lastWords(ctx context.Context, admin *kadm.Client, scanner scan.Scanner, since time.Time) (map[string]State, error) {
	extents, err := scan.MeasureExisting(ctx, admin, topics.Sinks)
	if err != nil {
		return nil, err
	}
	ranges, err := extents.Since(ctx, admin, since)
	if err != nil {
		return nil, err
	}
	last := map[string]State{}
	result, err := scanner.Read(ctx, ranges, scan.Budget{Time: readBudget}, func(r *kgo.Record) error {
		var s State
		if r.Value == nil { // it has left
			delete(last, string(r.Key))
		}
		if json.Unmarshal(r.Value, &s) == nil && s.Sink != "" {
			last[string(r.Key)] = s
		}
		return nil
	})
	if err == nil && result.Partial != "" {
		err = fmt.Errorf("%s: %w: %s", topics.Sinks, errPartly, result.Partial)
	}
	return last, err
}

func join(last map[string]State, now time.Time) map[string]State {
	sinks := map[string]State{}
	for _, s := range last {
		age := now.Sub(s.At)
		if age > plainBelieved || age > believed && !s.Plain() {
			continue
		}
		s = s.after(now)
		if before, ok := sinks[s.Sink]; ok {
			s = worse(before, s)
		}
		sinks[s.Sink] = s
	}
	return sinks
}
