package embedded_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/embedded"
)

func broker(t *testing.T, dir string) (*embedded.Broker, *kadm.Client, *kgo.Client) {
	t.Helper()
	b, err := embedded.StartBroker(embedded.BrokerOptions{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range b.Addrs() {
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Errorf("listens on %s, not on loopback alone", addr)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	return b, kadm.NewClient(client), client
}

// TestBrokerKeepsItsData over restarts: topics with their settings, records
// with keys and headers, what groups committed; and goes on behind them.
func TestBrokerKeepsItsData(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	const topic, restarts = "orders.v1", 3
	for restart := range restarts {
		b, admin, client := broker(t, dir)
		if restart == 0 {
			policy := "compact"
			if _, err := admin.CreateTopic(ctx, 3, -1, map[string]*string{"cleanup.policy": &policy}, topic); err != nil {
				t.Fatal(err)
			}
		}
		r := &kgo.Record{
			Topic: topic, Partition: 2, Key: []byte("k"), Value: fmt.Append(nil, restart),
			Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, restart)}},
		}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if r.Offset != int64(restart) {
			t.Errorf("restart %d: written at %d", restart, r.Offset)
		}
		if restart > 0 {
			committed, err := admin.FetchOffsets(ctx, "g")
			if o, ok := committed.Lookup(topic, 2); err != nil || !ok || o.At != int64(restart) {
				t.Errorf("restart %d: committed %+v, %v", restart, o, err)
			}
		}
		var at kadm.Offsets
		at.AddOffset(topic, 2, r.Offset+1, -1)
		if _, err := admin.CommitOffsets(ctx, "g", at); err != nil {
			t.Fatal(err)
		}
		client.Close()
		b.Close()
	}
	b, admin, client := broker(t, dir)
	defer b.Close()
	defer client.Close()
	described, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	policy := ""
	for _, c := range described[0].Configs {
		if c.Key == "cleanup.policy" {
			policy = c.MaybeValue()
		}
	}
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil || len(topics[topic].Partitions) != 3 || policy != "compact" {
		t.Errorf("%d partitions, policy %q, %v", len(topics[topic].Partitions), policy, err)
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {2: kgo.NewOffset().AtStart()}})
	var got []*kgo.Record
	for len(got) < restarts && ctx.Err() == nil {
		got = append(got, client.PollFetches(ctx).Records()...)
	}
	for i, r := range got {
		if want := strconv.Itoa(i); string(r.Value) != want || string(r.Key) != "k" || len(r.Headers) != 1 || string(r.Headers[0].Value) != want {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	if len(got) != restarts {
		t.Errorf("%d records", len(got))
	}
}

// TestBrokerInMemory keeps nothing, and a port that is taken is an error.
func TestBrokerInMemory(t *testing.T) {
	t.Parallel()
	b, _, client := broker(t, "")
	defer b.Close()
	client.Close()
	_, port, _ := strings.Cut(b.Addrs()[0], ":")
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	if second, err := embedded.StartBroker(embedded.BrokerOptions{Port: n}); err == nil {
		second.Close()
		t.Error("two brokers share a port")
	}
}
