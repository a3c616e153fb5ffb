package sinkstate

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"

	"holdfast.internal/internal/topics"
)

// TestThrottlesOutliveWhoWasTold: of dead workers too, however long ago they
// said it; not what is over, what was asked of tenants, or what is no vendor's word.
func TestThrottlesOutliveWhoWasTold(t *testing.T) {
	t.Parallel()
	client, scanner := cluster(t, kfake.SeedTopics(1, topics.Sinks))
	now := time.Now().UTC().Truncate(time.Millisecond)
	long, short := now.Add(20*time.Hour), now.Add(time.Hour)
	for _, s := range []State{
		{Sink: "a", Worker: "1", Held: Throttled, Until: short, At: now.Add(-4 * time.Hour)},
		{Sink: "a", Worker: "2", Held: Throttled, Until: long, At: now.Add(-4 * time.Hour)},
		{Sink: "a", Worker: "3", Endpoint: "items", FreeAt: short, At: now},
		{Sink: "a", Worker: "4", At: now},
		{Sink: "over", Worker: "1", Held: Throttled, Until: now, Endpoint: "items", FreeAt: now, At: now},
		{Sink: "tenants", Worker: "1", Held: Throttled, Until: long, Tenants: 2, At: now},
		{Sink: "auth", Worker: "1", Held: Unauthorized, Until: long, At: now},
		{Sink: "changed", Worker: "1", Held: Throttled, Until: long, At: now},
		{Sink: "changed", Worker: "1", At: now},
	} {
		s.Breaker = Closed
		record, err := s.Record()
		if err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	throttles := func() map[string]Throttle {
		t.Helper()
		found, err := Throttles(t.Context(), kadm.NewClient(client), scanner, now)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	got := throttles()
	if want := (Throttle{Until: long, Endpoint: "items", FreeAt: short}); len(got) != 1 || got["a"] != want {
		t.Errorf("%+v, want %+v of a alone", got, want)
	}
	if err := Lift(t.Context(), client, scanner, "other", now); err != nil {
		t.Fatal(err)
	}
	if got := throttles(); len(got) != 1 {
		t.Errorf("lifted of another sink: %+v", got)
	}
	if err := Lift(t.Context(), client, scanner, "a", now); err != nil {
		t.Fatal(err)
	}
	if got := throttles(); len(got) != 0 {
		t.Errorf("lifted, and still there: %+v", got)
	}
}

// TestAThrottleThatIsOverIsNotTold: who said it may have left, and does not take
// it back.
func TestAThrottleThatIsOverIsNotTold(t *testing.T) {
	t.Parallel()
	client, scanner := cluster(t, kfake.SeedTopics(1, topics.Sinks))
	now := time.Now().UTC().Truncate(time.Millisecond)
	record, err := State{
		Sink: "s", Worker: "1", Breaker: Closed, Held: Throttled, Until: now.Add(10 * time.Second), Endpoint: "items", FreeAt: now.Add(20 * time.Second), At: now,
	}.Record()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]State{
		9 * time.Second:  {Held: Throttled, Endpoint: "items"},
		10 * time.Second: {Endpoint: "items"},
		20 * time.Second: {},
	} {
		read, err := Read(t.Context(), kadm.NewClient(client), scanner, now.Add(after))
		if got := read["s"]; err != nil || got.Held != want.Held || got.Endpoint != want.Endpoint {
			t.Errorf("after %s: %+v, %v", after, got, err)
		}
	}
}

func TestWithoutTheTopicNothingIsAskedFor(t *testing.T) {
	t.Parallel()
	client, scanner := cluster(t)
	if got, err := Throttles(t.Context(), kadm.NewClient(client), scanner, time.Now()); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestP5OthersHearOfAThrottle as soon as it is told, and of nothing else.
func TestP5OthersHearOfAThrottle(t *testing.T) {
	t.Parallel()
	client, scanner := cluster(t, kfake.SeedTopics(1, topics.Sinks))
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan string, 10), make(chan error, 1)
	go func() {
		done <- Follow(ctx, scanner.Connect, func(s State, th Throttle) { heard <- s.Worker + " " + th.Endpoint }, func(err error) { t.Error(err) })
	}()
	say := func(s State) {
		s.Sink, s.Breaker, s.At = "s", Closed, time.Now()
		record, err := s.Record()
		if err == nil {
			err = client.ProduceSync(t.Context(), record).FirstErr()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Hour)
	for begun := false; !begun; { // it follows from some time on
		say(State{Worker: "first", Endpoint: "items", FreeAt: later})
		select {
		case got := <-heard:
			begun = got == "first items"
		case <-time.After(100 * time.Millisecond):
		}
	}
	for _, s := range []State{
		{Worker: "well"},
		{Worker: "over", Held: Throttled, Until: time.Now().Add(-time.Second)},
		{Worker: "refused", Held: Unauthorized, Until: later},
		{Worker: "tenants", Held: Throttled, Until: later, Tenants: 2},
		{Worker: "last", Held: Throttled, Until: later},
	} {
		say(s)
	}
	for got := ""; got != "last "; {
		if got = <-heard; got != "first items" && got != "last " {
			t.Errorf("%q is no throttle", got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAThrottleIsToldAtOnce, and what is no news for others within a second.
func TestAThrottleIsToldAtOnce(t *testing.T) {
	t.Parallel()
	client, _ := cluster(t, kfake.SeedTopics(1, topics.Sinks))
	now := time.Now().UTC().Truncate(time.Millisecond)
	r := reporter{client: client, log: zap.NewNop()}
	for i, step := range []struct {
		s    State
		at   time.Duration
		said bool
	}{
		{State{Breaker: Closed}, 0, true},
		{State{Breaker: Open}, 100 * time.Millisecond, false},
		{State{Breaker: Open}, time.Second, true},
		{State{Breaker: Open, Held: Throttled, Until: now.Add(time.Hour)}, 1100 * time.Millisecond, true},
		{State{Breaker: Closed, Held: Throttled, Until: now.Add(time.Hour)}, 1200 * time.Millisecond, false},
	} {
		step.s.Sink, step.s.Worker, step.s.At = "s", "w", now.Add(step.at)
		r.look(t.Context(), step.s)
		if said := r.said == step.s; said != step.said {
			t.Errorf("step %d: said %v, want %v", i, said, step.said)
		}
	}
}
