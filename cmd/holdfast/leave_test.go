package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/delivery"
	"holdfast.internal/internal/embedded"
	"holdfast.internal/internal/topics"
)

// TestLeave: a stop keeps the static memberships of sinks, processors and
// shared limits for who comes back under the name; --leave ends them.
func TestLeave(t *testing.T) {
	t.Parallel()
	cfg, conn := onEmbedded(t, `
processors:
  - {name: invoice-command, in: crm.invoice.v1, out: billing.invoice-command.v1}
sinks:
  - {name: hook, kind: http, in: billing.invoice-command.v1, url: "https://example.com/", limits: {rate: 5/s}}
http: {listen: "127.0.0.1:0"}
`)
	groups := []string{topics.Group("hook"), topics.Group("invoice-command"), topics.Quota}
	for _, c := range []struct {
		leave bool
		want  int
	}{{false, 1}, {true, 0}} {
		runOnce(t, cfg, selection{role: "all", instance: "w-0", leave: c.leave})
		described, err := conn.admin.DescribeGroups(t.Context(), groups...)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range groups {
			if n := len(described[group].Members); n != c.want {
				t.Errorf("leave %t: %d members of %s, want %d", c.leave, n, group, c.want)
			}
		}
	}
}

// TestWhoFailsDoesNotLeave: the name may be another's by now, who would be
// thrown out of every group.
func TestWhoFailsDoesNotLeave(t *testing.T) {
	t.Parallel()
	cfg, conn := onEmbedded(t, `
sinks:
  - {name: hook, kind: http, in: billing.invoice-command.v1, url: "https://example.com/", limits: {rate: 5/s}}
http: {listen: "127.0.0.1:0"}
`)
	a, err := newApp(t.Context(), cfg, selection{role: "all", instance: "w-0", leave: true}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	a.runners = append(a.runners, runner{name: "other", run: func(context.Context) error {
		<-up
		return delivery.ErrFenced
	}})
	if err := a.run(t.Context(), func() { close(up) }); !errors.Is(err, delivery.ErrFenced) {
		t.Errorf("ended with %v", err)
	}
	described, err := conn.admin.DescribeGroups(t.Context(), topics.Group("hook"), topics.Quota)
	if err != nil {
		t.Fatal(err)
	}
	for name, group := range described {
		if len(group.Members) != 1 {
			t.Errorf("%d members of %s, want 1", len(group.Members), name)
		}
	}
}

// onEmbedded reads a configuration of an embedded broker and registry, and
// makes its topics.
func onEmbedded(t *testing.T, rest string) (*config.Config, *connection) {
	t.Helper()
	broker, err := embedded.StartBroker(embedded.BrokerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	registry, err := embedded.StartRegistry(embedded.RegistryOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	text := "version: 1\nkafka: {brokers: [\"" + broker.Addrs()[0] + "\"]}\nschema_registry: {url: \"" + registry.URL() + "\"}\n" + rest
	cfg, err := config.Parse("holdfast.yaml", []byte(text), known())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.close)
	sinks, processors := planned(cfg)
	changes, err := topics.Plan(t.Context(), conn.admin, sinks, processors, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := topics.Apply(t.Context(), conn.client, changes); err != nil {
		t.Fatal(err)
	}
	return cfg, conn
}

// runOnce runs a selection until it is ready, and stops it.
func runOnce(t *testing.T, cfg *config.Config, sel selection) {
	t.Helper()
	a, err := newApp(t.Context(), cfg, sel, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ready := false
	if err := a.run(ctx, func() { ready = true; cancel() }); err != nil || !ready {
		t.Fatalf("ready %t: %v", ready, err)
	}
}
