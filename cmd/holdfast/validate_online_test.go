package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/config"
)

// TestValidateOnline: what makes a configuration impossible or unsafe on a
// cluster is found, where the value stands that asks for it.
func TestValidateOnline(t *testing.T) {
	t.Parallel()
	const text = `version: 1
kafka: {brokers: ["localhost:9092"], group_protocol: consumer}
schema_registry: {url: "http://localhost:8081"}
sinks:
  - name: hook
    kind: http
    in: crm.invoice.v1
    url: "https://example.com/"
    retry: {tiers: [1m, 2h]}
    dlq: {retention: 24h}
`
	cfg, err := config.Parse("c.yaml", []byte(text), known())
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(3, "crm.invoice.v1"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	var alter []kadm.AlterConfig
	for key, value := range map[string]string{"retention.ms": "3600000", "retention.bytes": "1000000", "max.message.bytes": "9000000"} {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
	}
	if _, err := admin.AlterTopicConfigs(t.Context(), alter, "crm.invoice.v1"); err != nil {
		t.Fatal(err)
	}
	o := &online{cfg: cfg, conn: &connection{client: client, admin: admin}}
	if err := o.topics(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := o.sources(t.Context()); err != nil {
		t.Fatal(err)
	}
	strange := brokerSettings{
		"group.min.session.timeout.ms": "10000", "group.max.session.timeout.ms": "7000", "group.initial.rebalance.delay.ms": "60000", "offsets.retention.minutes": "60",
		"group.coordinator.rebalance.protocols": "classic", "group.consumer.assignors": "uniform", "group.consumer.session.timeout.ms": "45000",
	}
	for range 2 { // brokers
		o.groups(strange)
		o.consumerProtocol(strange)
	}
	var got []string
	for _, f := range o.found {
		got = append(got, f.String())
	}
	for _, want := range []string{
		"c.yaml:9:25: sinks[0].retry.tiers[1]: topic retry.hook.2h: create needed",
		"c.yaml:5:11: sinks[0].name: topic dlq.hook: create needed",
		"c.yaml: topic holdfast.dispositions: create needed",
		"c.yaml:7:9: warning: sinks[0].in: crm.invoice.v1 deletes records after 1h0m0s (retention.ms); while the destination is away they wait there: 76h2m0s at least",
		"c.yaml:7:9: warning: sinks[0].in: crm.invoice.v1 deletes records beyond 1000000 bytes",
		"c.yaml:7:9: warning: sinks[0].in: crm.invoice.v1 takes batches of 9000000 bytes",
		"c.yaml:10:22: warning: sinks[0].dlq.retention: dead letters are deleted after 24h0m0s",
		"c.yaml:2:8: kafka: the brokers refuse sessions shorter than 10s",
		"c.yaml:2:8: kafka: the brokers refuse sessions longer than 7s",
		"c.yaml:2:8: warning: kafka: the first worker of a group waits 1m0s",
		"c.yaml:2:8: warning: kafka: a sink that stands still for 1h0m0s loses its place",
		"c.yaml:2:54: kafka.group_protocol: the brokers speak classic",
		"c.yaml:2:54: kafka.group_protocol: the brokers have no range assignor",
		"c.yaml:2:54: warning: kafka.group_protocol: the share of a killed worker stands still for 45s",
	} {
		if n := len(slices.DeleteFunc(slices.Clone(got), func(line string) bool { return !strings.HasPrefix(line, want) })); n != 1 {
			t.Errorf("%d times: %s", n, want)
		}
	}
	if t.Failed() {
		t.Logf("found:\n%s", strings.Join(got, "\n"))
	}
}
