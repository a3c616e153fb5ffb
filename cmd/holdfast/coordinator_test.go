package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// headless is a cluster of two brokers. The first leads every partition, and
// says of each group that the second, which is dead, coordinates it; or that
// nobody does.
func headless(t *testing.T, dead bool) (config string) {
	t.Helper()
	var listeners []net.Listener
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.DefaultNumPartitions(2), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
		listeners = append(listeners, l)
		return l, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	config = filepath.Join(t.TempDir(), "holdfast.yaml")
	text := fmt.Sprintf(`version: 1
kafka: {brokers: [%q]}
schema_registry: {url: "http://127.0.0.1:1"}
sinks:
  - {name: hook, kind: http, in: crm.invoice.v1, url: "https://example.com/"}
`, cluster.ListenAddrs()[0])
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := execute(t.Context(), []string{"topic", "apply", "--yes", "--config", config}, strings.NewReader(""), new(bytes.Buffer), new(bytes.Buffer)); code != exitOK {
		t.Fatalf("topic apply: exit %d", code)
	}
	leadAll(t, cluster)
	_, text, _ = net.SplitHostPort(listeners[1].Addr().String())
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	cluster.ControlKey(int16(kmsg.FindCoordinator), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		find, _ := req.(*kmsg.FindCoordinatorRequest)
		resp, _ := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
		if find.CoordinatorType != 0 { // of a transaction
			return nil, nil, false
		}
		for _, group := range find.CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.ErrorCode = group, kerr.CoordinatorNotAvailable.Code
			if dead {
				c.ErrorCode, c.NodeID, c.Host, c.Port = 0, 1, "127.0.0.1", int32(port)
			}
			resp.Coordinators = append(resp.Coordinators, c)
		}
		return resp, nil, true
	})
	if dead {
		_ = listeners[1].Close()
	}
	return config
}

// leadAll makes the first broker lead every partition.
func leadAll(t *testing.T, cluster *kfake.Cluster) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range listed {
		for partition := range topic.Partitions {
			if err := cluster.MoveTopicPartition(topic.Topic, partition, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestBesideADeadCoordinator: what needs the offsets of a group ends within
// seconds and says that nobody answers; what does not, does its work, and says
// that it knows nothing of workers.
func TestBesideADeadCoordinator(t *testing.T) {
	t.Parallel()
	const within = 15 * time.Second
	for command, want := range map[string]struct {
		dead bool
		code int
		says string
	}{
		"lag":                               {true, exitUnreachable, "lag of hook: offsets of holdfast.hook: the group's coordinator does not answer"},
		"dlq redrive --sink hook --dry-run": {false, exitUnreachable, "offsets of holdfast.hook: the group's coordinator does not answer"},
		"dlq list":                          {true, exitOK, "no dead letters"},
		"dlq ack --sink hook --reason x -y": {true, exitOK, "0 acknowledged"},
		"sink list":                         {true, exitOK, "hook  http  ?        -        -     -"},
		"sink list -o jsonl":                {false, exitOK, `"workers":null`},
		"sink resume hook --reason x -y":    {true, exitOK, "how many workers run is not known"},
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			args := append(strings.Fields(command), "--config", headless(t, want.dead))
			began := time.Now()
			code := execute(t.Context(), args, strings.NewReader(""), &out, &out)
			if took := time.Since(began); took > within {
				t.Errorf("took %s", took)
			}
			if code != want.code || !strings.Contains(out.String(), want.says) {
				t.Errorf("exit %d, want %d and %q; said %s", code, want.code, want.says, out.String())
			}
		})
	}
}
