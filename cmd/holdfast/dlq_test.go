package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// bury writes all records of a topic to a sink's dead letters, as refused by its vendor.
func bury(ts *testscript.TestScript, _ bool, args []string) {
	sink, topic := args[0], args[1]
	withKafka(ts, func(ctx context.Context, connect []kgo.Opt, client *kgo.Client) {
		extents, err := scan.Measure(ctx, kadm.NewClient(client), topic)
		ts.Check(err)
		_, err = scan.Scanner{Connect: connect}.Read(ctx, extents.Whole(), scan.Budget{}, func(r *kgo.Record) error {
			e := record.Read(r, record.FromProducer)
			e.Sink, e.Spent, e.FirstAttempt = sink, 1, time.Now()
			e.Frozen = record.Freeze([]byte("email=ana@acme.com"))
			e.Fail(holdfast.Failure{Class: holdfast.ClassValidation, Code: "card_declined", Status: 402, Detail: "Your card was declined."}, time.Now())
			return client.ProduceSync(ctx, e.ToDeadLetters(topics.DeadLetters(sink), r.Partition, 1, topics.Group(sink))).FirstErr()
		})
		ts.Check(err)
	})
}

// settleAll says for a sink that it has settled whatever a topic will hold.
func settleAll(ts *testscript.TestScript, _ bool, args []string) {
	sink, topic := args[0], args[1]
	withKafka(ts, func(ctx context.Context, _ []kgo.Opt, client *kgo.Client) {
		admin := kadm.NewClient(client)
		extents, err := scan.Measure(ctx, admin, topic)
		ts.Check(err)
		offsets := kadm.Offsets{}
		for p := range extents[topic] {
			offsets.AddOffset(topic, p, 1_000_000, -1)
		}
		_, err = admin.CommitOffsets(ctx, topics.Group(sink), offsets)
		ts.Check(err)
	})
}

func withKafka(ts *testscript.TestScript, f func(context.Context, []kgo.Opt, *kgo.Client)) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	connect := []kgo.Opt{kgo.SeedBrokers(ts.Getenv("KAFKA"))}
	client, err := kgo.NewClient(append(connect[:1:1], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	ts.Check(err)
	defer client.Close()
	f(ctx, connect, client)
}

func TestMomentsAreDurationsOrTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                     {},
		"2h":                   now.Add(-2 * time.Hour),
		"2026-11-24T01:00:00Z": now.Add(-2 * time.Hour),
	} {
		if got, err := moment("--since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"yesterday", "-2h", "2h ago"} {
		if _, err := moment("--since", text, now); !errors.Is(err, errTime) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
