//go:build synctests

package processing

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"holdfast.internal"
	"holdfast.internal/internal/example"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/registry"
	"holdfast.internal/processors"
	"holdfast.internal/processors/invoicecommand"
	"holdfast.internal/schemas"
	"holdfast.internal/schemas/billing"
	"holdfast.internal/schemas/crm"
)

const commands = "billing.invoice-command.v1"

// inPlace is a registry without a network.
type inPlace struct{ http.Handler }

func (p inPlace) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, req)
	return rec.Result(), nil
}

// registered is a serde on a registry that has every schema, and its client.
func registered(t *testing.T) (*registry.Serde, *sr.Client) {
	t.Helper()
	client, err := registry.NewClient(registry.Config{URL: "http://registry", Transport: inPlace{srfake.NewRegistry().Handler()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Register(t.Context(), client, schemas.Files(), schemas.Topics()); err != nil {
		t.Fatal(err)
	}
	return registry.NewSerde(client), client
}

// invoices writes n invoices in the wire format, changed as asked.
func invoices(t *testing.T, serde *registry.Serde, n int, change func(i int, value map[string]any)) [][]byte {
	t.Helper()
	lines, err := example.Lines(example.Invoices, n, 7)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for i, l := range lines {
		text, err := json.Marshal(l.Value)
		if err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		value["status"] = "ISSUED"
		change(i, value)
		if text, err = json.Marshal(value); err != nil {
			t.Fatal(err)
		}
		wire, err := serde.EncodeJSON(t.Context(), example.Invoices, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, wire)
	}
	return all
}

// moody is the invoice processor, with one that panics and one that leaves a
// hole in what it makes.
func moody(ctx context.Context, ev holdfast.Event) ([]processors.Output, error) {
	var in crm.Invoice
	if err := ev.Value.Decode(&in); err != nil {
		return nil, err
	}
	switch in.ID {
	case "panic":
		panic("card 4242424242424242")
	case "hole":
		return []processors.Output{{Key: "k", Value: billing.InvoiceCommand{Lines: []billing.CommandLine{{}}}}}, nil
	}
	return invoicecommand.New().Process(ctx, ev)
}

// TestP8GarbageEndToEnd: with the real registry protocol, schemas, processor
// and broker protocol, every kind of bad record is in the dead-letter topic
// within a second (an id that the registry does not know: 35 s), its bytes
// unchanged, and the records beside it unharmed.
func TestP8GarbageEndToEnd(t *testing.T) {
	t.Parallel()
	const second, patience = time.Second, 35 * time.Second
	tests := map[string]struct {
		make        func(t *testing.T, serde *registry.Serde, client *sr.Client, good []byte) []byte
		within      time.Duration
		class, code string
	}{
		"garbage": {func(*testing.T, *registry.Serde, *sr.Client, []byte) []byte {
			return []byte("\x7fELF what is this")
		}, second, "poison", "undecodable"},
		"no schema": {func(*testing.T, *registry.Serde, *sr.Client, []byte) []byte {
			return []byte(`{"id":"inv_1","status":"ISSUED"}`)
		}, second, "poison", "undecodable"},
		"a known schema before garbage": {func(_ *testing.T, _ *registry.Serde, _ *sr.Client, good []byte) []byte {
			return append(good[:5:5], strings.Repeat("\xff", 100)...)
		}, second, "poison", "undecodable"},
		"cut short": {func(_ *testing.T, _ *registry.Serde, _ *sr.Client, good []byte) []byte {
			return good[:len(good)-1]
		}, second, "poison", "undecodable"},
		"too large": {func(t *testing.T, serde *registry.Serde, _ *sr.Client, _ []byte) []byte {
			return invoices(t, serde, 1, func(_ int, v map[string]any) {
				v["lines"].([]any)[0].(map[string]any)["description"] = strings.Repeat("x", 1_100_000)
			})[0]
		}, second, "poison", "too_large"},
		"another subject's schema": {func(t *testing.T, _ *registry.Serde, client *sr.Client, good []byte) []byte {
			other, err := client.SchemaByVersion(t.Context(), "inventory.shipment.v1-value", -1)
			if err != nil {
				t.Fatal(err)
			}
			return wire(uint32(other.ID), string(good[5:]))
		}, second, "schema", "foreign_schema"},
		"an unknown id": {func(_ *testing.T, _ *registry.Serde, _ *sr.Client, good []byte) []byte {
			return wire(4_000_000_000, string(good[5:]))
		}, patience, "schema", "unknown_schema"},
		"makes the processor panic": {func(t *testing.T, serde *registry.Serde, _ *sr.Client, _ []byte) []byte {
			return invoices(t, serde, 1, func(_ int, v map[string]any) { v["id"] = "panic" })[0]
		}, second, "poison", "panic"},
		"makes what cannot be encoded": {func(t *testing.T, serde *registry.Serde, _ *sr.Client, _ []byte) []byte {
			return invoices(t, serde, 1, func(_ int, v map[string]any) { v["id"] = "hole" })[0]
		}, second, "transform", "unencodable"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var vn kfake.VirtualNetwork
				w := newWorld(t, 2, []kfake.Opt{
					kfake.Ports(9092), kfake.ListenFn(vn.Listen), kfake.SeedTopics(2, example.Invoices, commands),
				}, kgo.Dialer(vn.DialContext))
				serde, client := registered(t)
				r, err := New(Config{Name: "p", In: example.Invoices, Out: commands, Instance: "a"}, Deps{
					Processor: processors.Func(moody), Serde: serde, Kafka: w.opts, Log: w.log,
					Metrics: NewMetrics(prometheus.NewRegistry(), kafka.NewCounters(prometheus.NewRegistry())),
				}, "")
				if err != nil {
					t.Fatal(err)
				}
				w.start(r)
				<-r.Ready()
				good := invoices(t, serde, 3, func(int, map[string]any) {})
				w.put(example.Invoices, 1, good[0])
				w.read(commands, 1, 5*time.Second)

				value := test.make(t, serde, client, good[0])
				began := time.Now()
				bad := w.putRecord(&kgo.Record{Topic: example.Invoices, Partition: 1, Key: []byte("k"), Value: value})
				w.put(example.Invoices, 1, good[1])
				w.put(example.Invoices, 0, good[2])
				w.read(commands, 2, second) // the other partition waits for nothing
				raw := w.read(dead, 1, test.within)[0]
				if took := time.Since(began); took > test.within {
					t.Errorf("took %s", took)
				}
				w.read(commands, 3, second)
				letter := record.Read(raw, record.FromHoldfast)
				if string(raw.Value) != string(value) || string(raw.Key) != "k" || raw.Partition != 1 || letter.Event.Origin != bad {
					t.Errorf("dead letter of %s: %+v", bad, letter)
				}
				if letter.Failure.Class != classOf(test.class) || letter.Failure.Code != test.code {
					t.Errorf("%s %s, want %s %s: %s", letter.Failure.Class, letter.Failure.Code, test.class, test.code, letter.Message)
				}
				if strings.Contains(letter.Message, "4242") {
					t.Errorf("the panic's text leaked: %s", letter.Message) // P12
				}
				if n := len(w.all(dead)); n != 1 {
					t.Errorf("%d dead letters", n)
				}
				if n := len(w.all(commands)); n != 3 {
					t.Errorf("%d commands", n)
				}
			})
		})
	}
}
