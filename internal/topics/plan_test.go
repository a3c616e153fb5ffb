package topics_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"holdfast.internal/internal/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sinks() []topics.Sink {
	return []topics.Sink{{Name: "stripe-invoices", In: "billing.invoice-command.v1", Tiers: []time.Duration{time.Second, 90 * time.Second}, Retention: time.Hour}}
}

func processors() []topics.Processor {
	return []topics.Processor{{Name: "invoice-command", In: "crm.invoice.v1", Out: "billing.invoice-command.v1"}}
}

// brokers is a cluster that makes no topic by itself.
type brokers struct {
	*kadm.Client
	client *kgo.Client
	fake   *kfake.Cluster
}

func cluster(t *testing.T, opts ...kfake.Opt) brokers {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return brokers{kadm.NewClient(client), client, c}
}

func plan(t *testing.T, admin brokers) []topics.Change {
	t.Helper()
	changes, err := topics.Plan(t.Context(), admin.Client, sinks(), processors(), 3)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func apply(t *testing.T, admin brokers) {
	t.Helper()
	if err := topics.Apply(t.Context(), admin.client, plan(t, admin)); err != nil {
		t.Fatal(err)
	}
}

func told(changes []topics.Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%s %s %d", c.Action, c.Topic, c.Partitions))
	}
	return lines
}

func TestPlanOfAnEmptyCluster(t *testing.T) {
	t.Parallel()
	admin := cluster(t)
	got := strings.Join(told(plan(t, admin)), "\n")
	want := strings.Join([]string{
		"create crm.invoice.v1 3", "create billing.invoice-command.v1 3",
		"create redrive.invoice-command 3", "create dlq.invoice-command 3",
		"create retry.stripe-invoices.1s 3", "create retry.stripe-invoices.90s 3",
		"create redrive.stripe-invoices 3", "create dlq.stripe-invoices 3",
		"create holdfast.audit 1", "create holdfast.dispositions 1", "create holdfast.quota 1", "create holdfast.receipts 12",
		"create holdfast.sinks 1",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := topics.Check(t.Context(), admin.Client, sinks(), processors()); !errors.Is(err, topics.ErrMissing) || !strings.Contains(err.Error(), "holdfast topic apply") {
		t.Errorf("check of an empty cluster: %v", err)
	}
	apply(t, admin)
	if again := plan(t, admin); len(again) > 0 {
		t.Errorf("after apply: %v", again)
	}
	if err := topics.Check(t.Context(), admin.Client, sinks(), processors()); err != nil {
		t.Errorf("check after apply: %v", err)
	}
}

// TestSourcesAreFollowed: what belongs to a source that exists has its count
// and room for its records, and grows with it; the source itself is left alone.
func TestSourcesAreFollowed(t *testing.T) {
	t.Parallel()
	admin := cluster(t)
	large := "2000000"
	if _, err := admin.CreateTopic(t.Context(), 5, -1, map[string]*string{"max.message.bytes": &large}, "billing.invoice-command.v1"); err != nil {
		t.Fatal(err)
	}
	apply(t, admin)
	if c := counts(t, admin); c["retry.stripe-invoices.90s"] != 5 || c["dlq.stripe-invoices"] != 5 || c["dlq.invoice-command"] != 3 {
		t.Errorf("counts %v", c)
	}
	if got := setting(t, admin, "dlq.stripe-invoices", "max.message.bytes"); got != "2098304" {
		t.Errorf("max.message.bytes %s", got)
	}
	if got := setting(t, admin, "retry.stripe-invoices.1s", "retention.ms"); got != "-1" {
		t.Errorf("retention of a tier %s", got)
	}
	if got := setting(t, admin, "dlq.stripe-invoices", "retention.ms"); got != "3600000" {
		t.Errorf("configured retention of dead letters %s", got)
	}
	if got := setting(t, admin, "holdfast.quota", "cleanup.policy"); got != "delete" {
		t.Errorf("what replicas tell each other about limits has the policy %s", got)
	}
	if _, err := admin.UpdatePartitions(t.Context(), 7, "billing.invoice-command.v1"); err != nil {
		t.Fatal(err)
	}
	if err := topics.Check(t.Context(), admin.Client, sinks(), processors()); !errors.Is(err, topics.ErrMissing) || !strings.Contains(err.Error(), "has 7 partitions, this 5") {
		t.Errorf("check after the source grew: %v", err)
	}
	apply(t, admin)
	if c := counts(t, admin); c["retry.stripe-invoices.1s"] != 7 || c["redrive.stripe-invoices"] != 7 || c["billing.invoice-command.v1"] != 7 {
		t.Errorf("counts %v", c)
	}
}

// TestBrokerWithAnotherMessageSize: sources that are made get the broker's
// size, and what follows them has room from the start: one apply is enough.
func TestBrokerWithAnotherMessageSize(t *testing.T) {
	t.Parallel()
	admin := cluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "3000000"}))
	apply(t, admin)
	if got := setting(t, admin, "dlq.stripe-invoices", "max.message.bytes"); got != "3098304" {
		t.Errorf("max.message.bytes %s", got)
	}
	if again := plan(t, admin); len(again) > 0 {
		t.Errorf("after apply: %v", again)
	}
}

// TestDrift: a setting that would lose records is reported and mended; one
// that is safer than asked for is left.
func TestDrift(t *testing.T) {
	t.Parallel()
	admin := cluster(t)
	apply(t, admin)
	set(t, admin, "dlq.stripe-invoices", "retention.ms", "1000")
	set(t, admin, "retry.stripe-invoices.1s", "max.message.bytes", "9000000")
	changes := plan(t, admin)
	if got := told(changes); !slices.Equal(got, []string{"configure dlq.stripe-invoices 0"}) {
		t.Fatalf("got %v", got)
	}
	if want := "retention.ms is 1000, not 3600000"; changes[0].Reason != want {
		t.Errorf("reason %q, want %q", changes[0].Reason, want)
	}
	if err := topics.Check(t.Context(), admin.Client, sinks(), processors()); err != nil {
		t.Errorf("drift stops nothing: %v", err)
	}
	apply(t, admin)
	if got := setting(t, admin, "dlq.stripe-invoices", "retention.ms"); got != "3600000" {
		t.Errorf("retention %s", got)
	}
}

func TestMorePartitionsThanTheSource(t *testing.T) {
	t.Parallel()
	admin := cluster(t)
	if _, err := admin.CreateTopic(t.Context(), 9, -1, nil, "dlq.stripe-invoices"); err != nil {
		t.Fatal(err)
	}
	_, err := topics.Plan(t.Context(), admin.Client, sinks(), processors(), 3)
	if !errors.Is(err, topics.ErrUnequal) || !strings.Contains(err.Error(), "dlq.stripe-invoices has 9, its source billing.invoice-command.v1 only 3") {
		t.Errorf("got %v", err)
	}
}

func TestApplyObeysItsContext(t *testing.T) {
	t.Parallel()
	admin := cluster(t)
	changes := plan(t, admin)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := topics.Apply(ctx, admin.client, changes); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestApplyWaitsForItsTopics: brokers learn late of what the controller made,
// first that it exists, then that they lead it; Apply returns when they serve it.
func TestApplyWaitsForItsTopics(t *testing.T) {
	t.Parallel()
	admin := cluster(t)
	const topic = "orders.v1"
	unheard := admin.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: topic, Err: kerr.UnknownTopicOrPartition, Count: 3})
	unserved := admin.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: topic, Err: kerr.UnknownTopicOrPartition, Count: 3})
	if err := topics.Apply(t.Context(), admin.client, []topics.Change{{Action: topics.Create, Topic: topic, Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	if a, b := unheard.Hits(), unserved.Hits(); a != 3 || b != 3 {
		t.Errorf("returned after %d answers without the topic and %d of leaders that did not know it, of 3 and 3", a, b)
	}
}

// TestApplyWaitsForEveryBroker: whoever is asked next, it knows the topic.
func TestApplyWaitsForEveryBroker(t *testing.T) {
	t.Parallel()
	admin := cluster(t, kfake.NumBrokers(3))
	const topic = "orders.v1"
	late := admin.fake.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Metadata}, Nodes: []int32{2}, Topic: topic, Err: kerr.UnknownTopicOrPartition, Count: 4,
	})
	if err := topics.Apply(t.Context(), admin.client, []topics.Change{{Action: topics.Create, Topic: topic, Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	if n := late.Hits(); n != 4 {
		t.Errorf("returned after the late broker had denied the topic %d times of 4", n)
	}
}

// TestApplyOfWhatSomebodyElseMade: two applies at once do not wait for each
// other's partition counts.
func TestApplyOfWhatSomebodyElseMade(t *testing.T) {
	t.Parallel()
	admin := cluster(t)
	for _, n := range []int32{2, 7} {
		if err := topics.Apply(t.Context(), admin.client, []topics.Change{{Action: topics.Create, Topic: "orders.v1", Partitions: n}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := counts(t, admin)["orders.v1"]; n != 2 {
		t.Errorf("%d partitions", n)
	}
}

func TestTier(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Minute: "1m", 90 * time.Second: "90s", 2 * time.Hour: "2h", 250 * time.Millisecond: "250ms", time.Second: "1s",
	} {
		if got := topics.Tier(d); got != want {
			t.Errorf("%s became %s, want %s", d, got, want)
		}
	}
}

func counts(t *testing.T, admin brokers) map[string]int {
	t.Helper()
	list, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for name, d := range list {
		n[name] = len(d.Partitions)
	}
	return n
}

func setting(t *testing.T, admin brokers, topic, key string) string {
	t.Helper()
	described, err := admin.DescribeTopicConfigs(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range described[0].Configs {
		if c.Key == key {
			return c.MaybeValue()
		}
	}
	return ""
}

func set(t *testing.T, admin brokers, topic, key, value string) {
	t.Helper()
	if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic); err != nil {
		t.Fatal(err)
	}
}
