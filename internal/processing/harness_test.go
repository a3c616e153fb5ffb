package processing

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/processors"
)

func TestMain(m *testing.M) {
	if beWorker() {
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	in      = "orders.v1"
	out     = "commands.v1"
	redrive = "redrive.p"
	dead    = "dlq.p"
)

// world is a broker, and a client to produce and to look.
type world struct {
	t       *testing.T
	cluster *kfake.Cluster
	opts    []kgo.Opt
	client  *kgo.Client
	log     *zap.Logger
}

// newWorld is a world on TCP, or on what more says.
func newWorld(t *testing.T, partitions int32, opts []kfake.Opt, more ...kgo.Opt) *world {
	t.Helper()
	w := &world{t: t, log: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))}
	opts = append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, in, out, redrive, dead)}, opts...)
	var err error
	if w.cluster, err = kfake.NewCluster(opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Close)
	w.connect(w.cluster.ListenAddrs(), more...)
	return w
}

func (w *world) connect(brokers []string, more ...kgo.Opt) {
	w.t.Helper()
	opts, err := kafka.Options(kafka.Config{Brokers: brokers})
	if err != nil {
		w.t.Fatal(err)
	}
	w.opts = slices.Concat(opts, more)
	w.client, err = kgo.NewClient(append(slices.Clone(w.opts), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(4<<20))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.client.Close)
}

// runtime is a runtime on the world's broker, through dial if that is not nil.
func (w *world) runtime(cfg Config, p processors.Processor, serde Serde, more ...kgo.Opt) *Runtime {
	w.t.Helper()
	cfg.Name, cfg.In, cfg.Out = "p", in, out
	counters := kafka.NewCounters(prometheus.NewRegistry())
	r, err := New(cfg, Deps{
		Processor: p, Serde: serde, Kafka: append(slices.Clone(w.opts), more...), Log: w.log,
		Metrics: NewMetrics(prometheus.NewRegistry(), counters),
	}, "x"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// start runs r until the returned function is called, which returns its error.
func (w *world) start(r *Runtime) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = r.Run(ctx)
	}()
	stop = func() error {
		cancel()
		<-done
		return err
	}
	w.t.Cleanup(func() { _ = stop() })
	return stop
}

// put produces to a partition.
func (w *world) put(topic string, partition int32, values ...[]byte) {
	w.t.Helper()
	for _, v := range values {
		w.putRecord(&kgo.Record{Topic: topic, Partition: partition, Value: v})
	}
}

func (w *world) putRecord(r *kgo.Record) holdfast.Coordinates {
	w.t.Helper()
	if err := w.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	return holdfast.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// read returns the first n committed records of topic, failing after within.
func (w *world) read(topic string, n int, within time.Duration) []*kgo.Record {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	client, err := kgo.NewClient(append(slices.Clone(w.opts), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		records = append(records, fetches.Records()...)
		if ctx.Err() != nil {
			w.t.Fatalf("%s: %d of %d records within %s", topic, len(records), n, within)
		}
	}
	return records
}

// all returns every committed record of topic.
func (w *world) all(topic string) []*kgo.Record {
	w.t.Helper()
	ends, err := kadm.NewClient(w.client).ListCommittedOffsets(context.Background(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := kgo.NewClient(append(slices.Clone(w.opts), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(left) > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// wire frames a body with a schema id, as the registry's wire format does.
func wire(id uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, id)
	return append(b, body...)
}

// good is a record that the plain serde opens.
func good(body string) []byte { return wire(1, body) }

// text is a value of the plain serde.
type text []byte

func (text) Schema() string                    { return "test.Text" }
func (v text) Fields() (map[string]any, error) { return map[string]any{"text": string(v)}, nil }
func (v text) JSON() ([]byte, error)           { return []byte(strconv.Quote(string(v))), nil }

func (v text) Decode(dst any) error {
	*dst.(*string) = string(v)
	return nil
}

// plain is a serde whose schema 1 is text; every other id is what open says.
type plain struct {
	open func(ctx context.Context, id uint32) error
}

var errNoWire = errors.New("no wire format")

func (p plain) Open(ctx context.Context, _ string, wire []byte, _ []holdfast.Header) (holdfast.Value, error) {
	if len(wire) < 5 || wire[0] != 0 {
		return nil, holdfast.Permanent(holdfast.ClassPoison, "undecodable", errNoWire)
	}
	if id := binary.BigEndian.Uint32(wire[1:5]); id != 1 {
		if err := p.open(ctx, id); err != nil {
			return nil, err
		}
	}
	return text(wire[5:]), nil
}

func (p plain) Encode(_ context.Context, _ string, v any) ([]byte, error) {
	return good(v.(string)), nil
}

// upper is a processor that writes its input in capitals, under its key.
var errRefused = errors.New("refused")

func upper(ctx context.Context, ev holdfast.Event) ([]processors.Output, error) {
	var s string
	if err := ev.Value.Decode(&s); err != nil {
		return nil, err
	}
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "panic":
		panic("card 4242424242424242")
	case "refuse":
		return nil, holdfast.Permanent(holdfast.ClassTransform, "refused", errRefused)
	case "error":
		return nil, errRefused
	case "none":
		return nil, nil
	case "huge":
		n, _ := strconv.Atoi(rest)
		return []processors.Output{{Key: "k", Value: strings.Repeat("x", n)}}, nil
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	case "three":
		return []processors.Output{{Key: "k1", Value: "1"}, {Key: "k2", Value: "2"}, {Key: "k3", Value: "3"}}, nil
	}
	return []processors.Output{{Key: string(ev.Key), Value: strings.ToUpper(s)}}, nil
}

func bodies(records []*kgo.Record) []string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = string(bytes.TrimPrefix(r.Value, []byte{0, 0, 0, 0, 1}))
	}
	slices.Sort(all)
	return all
}

// once fails unless records hold each of want once.
func once(t *testing.T, records []*kgo.Record, want []string) {
	t.Helper()
	count := map[string]int{}
	for _, b := range bodies(records) {
		count[b]++
	}
	lost, twice := 0, 0
	for _, s := range want {
		switch n := count[s]; {
		case n == 0:
			lost++
		case n > 1:
			twice += n - 1
		}
		delete(count, s)
	}
	if lost > 0 || twice > 0 || len(count) > 0 {
		t.Errorf("%d lost, %d twice, %d unexpected, of %d", lost, twice, len(count), len(want))
	}
}

// cable is a network that can be pulled: a process killed with SIGKILL says no
// more, whatever its goroutines still try.
type cable struct {
	base  func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	cut   bool
}

var errCut = errors.New("no network")

func (c *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := c.base
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		_ = conn.Close()
		return nil, errCut
	}
	if c.conns == nil {
		c.conns = map[net.Conn]struct{}{}
	}
	c.conns[conn] = struct{}{}
	return conn, nil
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for conn := range c.conns {
		_ = conn.Close()
	}
}

func numbered(n int) (inputs [][]byte, outputs []string) {
	for i := range n {
		inputs = append(inputs, good(fmt.Sprintf("event %06d", i)))
		outputs = append(outputs, fmt.Sprintf("EVENT %06d", i))
	}
	return inputs, outputs
}

type eventOf = holdfast.Event

func classOf(s string) holdfast.Class { return holdfast.ParseClass(s) }

func slicesEqual(got []string, want ...string) bool { return slices.Equal(got, want) }

func refuseSchema(context.Context, uint32) error {
	return holdfast.Permanent(holdfast.ClassSchema, "foreign_schema", errRefused)
}

// pass lets time pass, real or virtual.
func pass(d time.Duration) { <-time.After(d) }
