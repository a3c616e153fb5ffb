// Package sinktest is the conformance suite of the sink seam. Every sink runs
// it: [Run] for what all have in common, [RunHTTP] for those that speak HTTP.
// What differs between sinks is data in [Suite].
package sinktest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// Canary is a text that a sink's credentials and payload hold and that no
// error may repeat. Credentials hold [CanarySecret], events [CanaryText].
const (
	CanarySecret = "sk_test_canarysecret4711canary"
	CanaryText   = "Canary Payload"
)

// Suite describes a sink to the conformance suite.
type Suite struct {
	// New makes the sink. url is the vendor's base URL, "" for sinks that do not
	// speak HTTP. Its credentials should hold [CanarySecret].
	New func(tb testing.TB, url string, d sinks.Deps) sinks.Sink
	// Attempt returns the first attempt of event number n (from 1), each of
	// another key. Its payload should hold [CanaryText].
	Attempt func(n int) *sinks.Attempt
	// Deletes says that the sink delivers records without a value.
	Deletes bool

	// Healthy returns a vendor that accepts everything and has seen nothing yet;
	// nil for sinks that do not speak HTTP.
	Healthy func() http.Handler
	// KeyHeader is the field that holds the idempotency key.
	KeyHeader string
	// Verdicts are the verdicts by status that differ from [sinks.Classify].
	Verdicts map[int]holdfast.Verdict
}

// Run checks what every sink promises, whatever it speaks.
func Run(t *testing.T, s Suite) {
	t.Helper()
	cases := map[string]func(t *testing.T, s Suite){
		"an event is delivered":                           delivers,
		"the same event twice is delivered":               deliversTwice,
		"a record that does not decode is permanent":      refusesPoison,
		"a record without a value is permanent or erased": treatsTombstone,
		"a cancelled context ends the attempt":            obeysCancel,
		"a verdict names no payload":                      namesNoPayload,
	}
	for name, check := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, s)
		})
	}
}

// open makes the sink against a healthy vendor.
func (s Suite) open(t *testing.T) sinks.Sink {
	t.Helper()
	url := ""
	if s.Healthy != nil {
		url = NewVendor(t, s.Healthy()).URL
	}
	return s.New(t, url, Deps(t, patience))
}

// patience is long enough for a loaded machine, and never waited for.
const patience = 20 * time.Second

func delivers(t *testing.T, s Suite) {
	if err := s.open(t).Deliver(t.Context(), s.Attempt(1)); err != nil {
		t.Fatalf("got %v", err)
	}
}

func deliversTwice(t *testing.T, s Suite) {
	sink, a := s.open(t), s.Attempt(1)
	for range 2 {
		if err := sink.Deliver(t.Context(), a); err != nil {
			t.Fatalf("got %v", err)
		}
		a = s.Attempt(1) // as after a crash: nothing was kept
	}
}

func refusesPoison(t *testing.T, s Suite) {
	a := s.Attempt(1)
	a.Event.Value = Value{Name: a.Event.Value.Schema(), Err: Poison("broken")}
	verdict, f := holdfast.Judge(s.open(t).Deliver(t.Context(), a))
	if verdict != holdfast.VerdictPermanent || f.Class != holdfast.ClassPoison {
		t.Fatalf("got %s %s", verdict, f.Class)
	}
}

func treatsTombstone(t *testing.T, s Suite) {
	a := s.Attempt(1)
	a.Event.Value = nil
	verdict, f := holdfast.Judge(s.open(t).Deliver(t.Context(), a))
	if s.Deletes && verdict != holdfast.VerdictDelivered {
		t.Fatalf("got %s, want delivered", verdict)
	}
	if !s.Deletes && (verdict != holdfast.VerdictPermanent || f.Code != "tombstone") {
		t.Fatalf("got %s %s, want permanent tombstone", verdict, f.Code)
	}
}

func obeysCancel(t *testing.T, s Suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.open(t).Deliver(ctx, s.Attempt(1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
}

func namesNoPayload(t *testing.T, s Suite) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	leaksNothing(t, s.open(t).Deliver(ctx, s.Attempt(1)))
}

// leaksNothing fails where a verdict, or anything that it is made of and that
// is kept, repeats a canary.
func leaksNothing(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	_, f := holdfast.Judge(err)
	kept := strings.Join([]string{err.Error(), f.Error(), f.Code, f.RequestID, f.Detail}, "\n")
	for _, canary := range []string{CanarySecret, CanaryText, "canary"} {
		if strings.Contains(strings.ToLower(kept), strings.ToLower(canary)) {
			t.Errorf("the verdict leaks %q: %s", canary, kept)
		}
	}
}
