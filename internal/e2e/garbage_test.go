package e2e

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/example"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/registry"
)

const commands = "billing.invoice-command.v1"

// stranger is a producer that knows only Kafka and the registry, and a reader
// of dead-letter topics from now on.
type stranger struct {
	*bench
	client  *kgo.Client
	letters *kgo.Client
	serde   *registry.Serde
	foreign int // id of a schema that belongs to neither topic
	seen    map[string]*kgo.Record
}

func newStranger(b *bench) *stranger {
	b.t.Helper()
	must := func(err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatal(err)
		}
	}
	s := &stranger{bench: b, seen: map[string]*kgo.Record{}}
	seeds := kgo.SeedBrokers(strings.Split(os.Getenv("HOLDFAST_TEST_KAFKA"), ",")...)
	var err error
	s.client, err = kgo.NewClient(seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(8<<20))
	must(err)
	b.t.Cleanup(s.client.Close)
	ends, err := kadm.NewClient(s.client).ListEndOffsets(b.t.Context(), "dlq.invoice-command", "dlq.stripe-invoices")
	must(err)
	s.letters, err = kgo.NewClient(seeds, kgo.ConsumePartitions(ends.KOffsets()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	must(err)
	b.t.Cleanup(s.letters.Close)
	transport := &http.Transport{}
	b.t.Cleanup(transport.CloseIdleConnections)
	client, err := registry.NewClient(registry.Config{URL: os.Getenv("HOLDFAST_TEST_REGISTRY"), Transport: transport})
	must(err)
	s.serde = registry.NewSerde(client)
	found, err := client.SchemaByVersion(b.t.Context(), example.Shipments+"-value", -1)
	must(err)
	s.foreign = found.ID
	return s
}

// invoice is a good one, described as asked.
func (s *stranger) invoice(seed uint64, description string) []byte {
	s.t.Helper()
	lines, err := example.Lines(example.Invoices, 1, seed)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := json.Marshal(lines[0].Value)
	if err != nil {
		s.t.Fatal(err)
	}
	var value map[string]any
	if err := json.Unmarshal(text, &value); err != nil {
		s.t.Fatal(err)
	}
	value["status"] = "ISSUED"
	if description != "" {
		value["lines"].([]any)[0].(map[string]any)["description"] = description
	}
	if text, err = json.Marshal(value); err != nil {
		s.t.Fatal(err)
	}
	wire, err := s.serde.EncodeJSON(s.t.Context(), example.Invoices, text)
	if err != nil {
		s.t.Fatal(err)
	}
	return wire
}

func (s *stranger) write(topic string, partition int32, event string, value []byte) {
	s.t.Helper()
	r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(event), Value: value, Headers: []kgo.RecordHeader{{Key: record.HeaderEventID, Value: []byte(event)}}}
	if err := s.client.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
		s.t.Fatalf("write %s: %v", event, err)
	}
}

// letter waits for the dead letter of an event.
func (s *stranger) letter(event string, limit time.Duration) *kgo.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	for s.seen[event] == nil {
		s.letters.PollFetches(ctx).EachRecord(func(r *kgo.Record) { s.seen[record.Read(r, record.FromHoldfast).Event.ID] = r })
		if ctx.Err() != nil {
			s.t.Fatalf("no dead letter of %s within %s", event, limit)
		}
	}
	return s.seen[event]
}

func framed(id int, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), body...)
}

// TestP8GarbageOnRealKafka: the binary on real services meets every kind of
// bad record on a processor's topic and on a sink's. Each lies in the right
// dead-letter topic soon (within 1 s on a machine with nothing else to do,
// which is what is logged; tests in virtual time insist on it), an id that the
// registry does not know within 35 s, and the record behind it is delivered.
func TestP8GarbageOnRealKafka(t *testing.T) { //nolint:paralleltest // owns the topics
	b := newBench(t)
	var roles []*exec.Cmd
	for _, role := range []string{"processor", "sink"} {
		roles = append(roles, b.start(role))
	}
	t.Cleanup(func() {
		for _, cmd := range roles {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	})
	s := newStranger(b)
	seed := uint64(time.Now().UnixNano()) & 0xffffff
	name := func(what string) string {
		return fmt.Sprintf("garbage-%06x-%s", seed, strings.ReplaceAll(what, " ", "-"))
	}
	const soon = 10 * time.Second

	// The sink learns its partitions, and the first request its connection, before anything is timed.
	s.write(example.Invoices, 1, name("first"), s.invoice(seed, ""))
	b.until(time.Minute, "the first invoice applied", func() bool { return b.applied()[name("first")].Applies == 1 })

	unknown := time.Now()
	s.write(example.Invoices, 0, name("unknown id"), framed(2_000_000_000, []byte("body")))
	s.write(example.Invoices, 0, name("behind the unknown id"), s.invoice(seed+1, ""))

	good := s.invoice(seed+2, "")
	want := []string{name("behind the unknown id")}
	for i, test := range []struct {
		what, topic, letters, code string
		value                      []byte
	}{
		{"garbage", example.Invoices, "dlq.invoice-command", "undecodable", []byte("\x7fELF what is this")},
		{"no schema", example.Invoices, "dlq.invoice-command", "undecodable", []byte(`{"id":"inv_1"}`)},
		{"a schema before garbage", example.Invoices, "dlq.invoice-command", "undecodable", append(good[:5:5], strings.Repeat("\xff", 64)...)},
		{"cut short", example.Invoices, "dlq.invoice-command", "undecodable", good[:len(good)-1]},
		{"null value", example.Invoices, "dlq.invoice-command", "tombstone", nil},
		{"another subject", example.Invoices, "dlq.invoice-command", "foreign_schema", framed(s.foreign, good[5:])},
		{"too large", example.Invoices, "dlq.invoice-command", "too_large", s.invoice(seed+3, strings.Repeat("x", 1_300_000))},
		{"garbage for the sink", commands, "dlq.stripe-invoices", "undecodable", []byte("\x7fELF what is this")},
		{"another subject for the sink", commands, "dlq.stripe-invoices", "foreign_schema", framed(s.foreign, good[5:])},
	} {
		began := time.Now()
		s.write(test.topic, 1, name(test.what), test.value)
		s.write(example.Invoices, 1, name("behind "+test.what), s.invoice(seed+uint64(10+i), ""))
		want = append(want, name("behind "+test.what))
		raw := s.letter(name(test.what), soon)
		t.Logf("%s: dead letter after %d ms", test.what, time.Since(began).Milliseconds())
		letter := record.Read(raw, record.FromHoldfast)
		if raw.Topic != test.letters || letter.Failure.Code != test.code || string(raw.Value) != string(test.value) || letter.Event.Origin.Topic != test.topic {
			t.Errorf("%s: in %s as %s with %d bytes, from %s", test.what, raw.Topic, letter.Failure.Code, len(raw.Value), letter.Event.Origin)
		}
	}
	raw := s.letter(name("unknown id"), time.Until(unknown.Add(35*time.Second+soon)))
	t.Logf("unknown id: dead letter after %s", time.Since(unknown).Round(time.Millisecond))
	if code := record.Read(raw, record.FromHoldfast).Failure.Code; code != "unknown_schema" || raw.Topic != "dlq.invoice-command" {
		t.Errorf("unknown id: in %s as %s", raw.Topic, code)
	}
	b.until(time.Minute, "what came behind bad records applied", func() bool {
		held := b.applied()
		for _, event := range want {
			if held[event].Applies == 0 {
				return false
			}
		}
		return true
	})
	for event, a := range b.applied() {
		if a.Applies != 1 {
			t.Errorf("%s applied %d times", event, a.Applies)
		}
	}
}
