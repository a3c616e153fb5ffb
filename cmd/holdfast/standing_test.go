package main

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/sinkstate"
)

// TestP5AThrottleOutlivesTheWorkerThatWasTold: a worker that was killed had been
// told to wait; who starts after it waits too, and leaves that behind.
func TestP5AThrottleOutlivesTheWorkerThatWasTold(t *testing.T) {
	t.Parallel()
	cfg, conn := onEmbedded(t, `
sinks:
  - {name: hook, kind: http, in: billing.invoice-command.v1, url: "https://example.com/"}
http: {listen: "127.0.0.1:0"}
`)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	record, err := sinkstate.State{
		Sink: "hook", Worker: "killed", Breaker: sinkstate.Closed, Held: sinkstate.Throttled, Until: until, At: time.Now().Add(-10 * time.Minute),
	}.Record()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	told := func() sinkstate.State {
		t.Helper()
		read, err := sinkstate.Read(t.Context(), conn.admin, scan.Scanner{Connect: conn.opts}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return read["hook"]
	}
	if s := told(); s.Held != sinkstate.NotHeld {
		t.Fatalf("%+v: what a dead worker said is told for ten minutes", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	a, err := newApp(ctx, cfg, selection{role: "all", instance: "w-0"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.run(ctx, cancel); err != nil {
		t.Fatal(err)
	}
	if s := told(); s.Worker != "w-0" || s.Held != sinkstate.Throttled || !s.Until.Equal(until) {
		t.Errorf("%+v, want what the killed one was told", s)
	}
}
