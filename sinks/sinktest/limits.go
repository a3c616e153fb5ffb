package sinktest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// gate counts what a sink asks for, and lets so many requests go.
type gate struct {
	mu    sync.Mutex
	let   int
	asked int
}

var errGate = errors.New("no token")

// Pass implements [sinks.Gate].
func (g *gate) Pass(_ context.Context, _ string, cost float64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked++; g.asked > g.let || cost <= 0 {
		return &holdfast.ThrottledError{Failure: holdfast.Failure{Class: holdfast.ClassRateLimited, Err: errGate}, Scope: holdfast.ScopeRecord}
	}
	return nil
}

// Sent implements [sinks.Gate].
func (*gate) Sent() {}

// Hear implements [sinks.Gate].
func (*gate) Hear(sinks.Advice) {}

// asksForEach: a sink sends no request that the engine has not let go, and
// hands its refusal back.
func asksForEach(t *testing.T, s Suite) {
	const all = 100
	for let, done := 0, false; !done; let++ {
		vendor := NewVendor(t, s.Healthy())
		a, g := s.Attempt(1), &gate{let: let}
		a.Gate = g
		err := s.New(t, vendor.URL, Deps(t, patience)).Deliver(t.Context(), a)
		if sent := len(vendor.Requests()); sent != min(let, g.asked) {
			t.Errorf("%d requests were sent, %d let go", sent, let)
		}
		if done = err == nil; !done && !errors.Is(err, errGate) || let == all {
			t.Fatalf("after %d requests: %v", let, err)
		}
		if done && let == 0 {
			t.Error("the sink asked for nothing")
		}
		vendor.Close()
	}
}
