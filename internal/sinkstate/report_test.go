package sinkstate

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a broker with or without the topic of states.
func cluster(t *testing.T, opts ...kfake.Opt) (*kgo.Client, scan.Scanner) {
	t.Helper()
	fake, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	connect := []kgo.Opt{kgo.SeedBrokers(fake.ListenAddrs()...)}
	client, err := kgo.NewClient(append(connect, kgo.UnknownTopicRetries(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, scan.Scanner{Connect: connect}
}

func TestStatesAreWrittenOnChangeAndRepeatedWhileTheyLast(t *testing.T) {
	t.Parallel()
	client, scanner := cluster(t, kfake.SeedTopics(1, topics.Sinks))
	admin := kadm.NewClient(client)
	ctx, began := t.Context(), time.Now().UTC().Truncate(time.Millisecond)
	r := reporter{client: client, log: zap.NewNop()}
	well := State{Sink: "s", Worker: "w", Breaker: Closed}
	open := State{Sink: "s", Worker: "w", Breaker: Open, ProbeAt: began.Add(time.Hour)}
	for _, step := range []struct {
		s       State
		at      time.Duration
		written int64 // so far
	}{
		{well, 0, 1},
		{well, time.Minute, 1},
		{well, 59 * time.Minute, 1},
		{well, time.Hour, 2},
		{open, time.Hour + time.Second, 3},
		{open, time.Hour + 2*time.Second, 3},
		{open, time.Hour + 16*time.Second, 4},
		{well, time.Hour + 17*time.Second, 5},
	} {
		step.s.At = began.Add(step.at)
		r.look(ctx, step.s)
		ends, err := admin.ListEndOffsets(ctx, topics.Sinks)
		if err != nil {
			t.Fatal(err)
		}
		if end, _ := ends.Lookup(topics.Sinks, 0); end.Offset != step.written {
			t.Fatalf("after %s: %d written, want %d", step.at, end.Offset, step.written)
		}
		read, err := Read(ctx, admin, scanner, step.s.At)
		if err != nil {
			t.Fatal(err)
		}
		if got := read["s"]; !same(got, step.s) {
			t.Errorf("after %s: read %+v, want %+v", step.at, got, step.s)
		}
	}
}

// TestWhoLeavesTakesBackWhatItSaid: the next worker stands otherwise, unless it is
// the vendor that both have to wait for.
func TestWhoLeavesTakesBackWhatItSaid(t *testing.T) {
	t.Parallel()
	for held, stays := range map[Hold]bool{Throttled: true, Unauthorized: false, Mapping: false} {
		client, scanner := cluster(t, kfake.SeedTopics(1, topics.Sinks))
		admin := kadm.NewClient(client)
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			Report(ctx, client, zap.NewNop(), func() State {
				now := time.Now()
				return State{Sink: "s", Worker: "w", Breaker: Closed, Held: held, Until: now.Add(24 * time.Hour), At: now}
			})
		}()
		told := func() bool {
			read, err := Read(t.Context(), admin, scanner, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return read["s"].Held == held
		}
		for end := time.Now().Add(5 * time.Second); !told(); time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // polls a real broker
			if time.Now().After(end) {
				t.Fatal("the hold was not told")
			}
		}
		leave()
		<-done
		if got := told(); got != stays {
			t.Errorf("%s, of a worker that has left: still told %t, want %t", held, got, stays)
		}
	}
}

// Nothing waits for what cannot be told, and it is complained of once.
func TestWhatCannotBeWrittenIsWrittenLater(t *testing.T) {
	t.Parallel()
	client, scanner := cluster(t)
	admin := kadm.NewClient(client)
	core, logged := observer.New(zap.WarnLevel)
	r := reporter{client: client, log: zap.New(core)}
	s := State{Sink: "s", Worker: "w", Breaker: Open, At: time.Now().UTC().Truncate(time.Millisecond)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r.look(ctx, s)
	r.look(ctx, s)
	if logged.Len() != 1 {
		t.Errorf("complained %d times", logged.Len())
	}
	if read, err := Read(ctx, admin, scanner, s.At); err != nil || len(read) != 0 {
		t.Errorf("without the topic: %v, %v", read, err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, topics.Sinks); err != nil {
		t.Fatal(err)
	}
	for ctx.Err() == nil && r.said != s { // the client learns of the topic
		r.look(ctx, s)
	}
	if read, err := Read(ctx, admin, scanner, s.At); err != nil || read["s"] != s {
		t.Errorf("later: %v, %v", read, err)
	}
}
