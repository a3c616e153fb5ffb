//go:build synctests

package delivery

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/sinkstate"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// world is a broker, a sink under test and its worker, all in virtual time.
type world struct {
	log     *zap.Logger // of its workers; nobody listens unless a test does
	t       *testing.T
	cluster *kfake.Cluster
	opts    []kgo.Opt
	dial    func(ctx context.Context, network, host string) (net.Conn, error)
	client  *kgo.Client // to produce and to look
	cfg     Config
	began   time.Time

	sink      sinks.Sink   // the world itself unless a test sets another
	open      func() error // why a record cannot be opened; nil: it can
	limit     *quota.Bucket
	endpoints map[string]*quota.Bucket
	tenants   TenantLimits
	heeds     sinkstate.Throttle
	running   *Worker // that was started last

	mu       sync.Mutex
	attempts []attempt
	settled  map[string]time.Time
	deliver  func(a *sinks.Attempt, nth int) error
	tries    map[string]int
}

// attempt is one call of the sink.
type attempt struct {
	id     string
	number int
	key    string
	at     time.Duration // since the start of the test
}

const source = "orders.v1"

// inWorld runs a test in a bubble of virtual time. deliver is told how often
// it was called for the event, from 1.
func inWorld(t *testing.T, cfg Config, deliver func(a *sinks.Attempt, nth int) error, test func(*world)) {
	t.Helper()
	inWorldOf(t, 1, cfg, deliver, test)
}

// inWorldOf is inWorld with several brokers.
func inWorldOf(t *testing.T, brokers int, cfg Config, deliver func(a *sinks.Attempt, nth int) error, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Sink, cfg.Source, cfg.Ordered = "s", source, true
		if cfg.Tiers == nil {
			cfg.Tiers = []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute}
		}
		var vn kfake.VirtualNetwork
		all := slices.Concat(newLayout(cfg).names, []string{topics.DeadLetters("s"), topics.Dispositions})
		cluster, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.Ports([]int{9092, 9093, 9094}[:brokers]...), kfake.ListenFn(vn.Listen), kfake.SeedTopics(2, all...))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		opts, err := kafka.Options(kafka.Config{Brokers: cluster.ListenAddrs()})
		if err != nil {
			t.Fatal(err)
		}
		opts = append(opts, kgo.Dialer(vn.DialContext))
		client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		test(&world{
			t: t, cluster: cluster, opts: opts, client: client, cfg: cfg, began: time.Now(), log: zap.NewNop(), dial: vn.DialContext,
			deliver: deliver, tries: map[string]int{}, settled: map[string]time.Time{},
		})
	})
}

// Deliver is the sink.
func (w *world) Deliver(ctx context.Context, a *sinks.Attempt) error {
	if err := a.Pass(ctx, "", 1); err != nil {
		return err
	}
	return w.arrive(a)
}

// arrive is what a request that was let go meets at the vendor.
func (w *world) arrive(a *sinks.Attempt) error {
	w.mu.Lock()
	w.tries[a.Event.ID]++
	nth := w.tries[a.Event.ID]
	w.attempts = append(w.attempts, attempt{id: a.Event.ID, number: a.Number, key: a.Key(""), at: time.Since(w.began)})
	w.mu.Unlock()
	err := w.deliver(a, nth)
	if err == nil {
		w.mu.Lock()
		w.settled[a.Event.ID] = time.Now()
		w.mu.Unlock()
	}
	return err
}

func (w *world) sinkOrSelf() sinks.Sink {
	if w.sink != nil {
		return w.sink
	}
	return w
}

// value stands for a decoded record.
type value struct{ holdfast.Value }

// worker starts a worker; the function that is returned stops it.
func (w *world) worker() (stop func()) {
	w.t.Helper()
	_, stop = w.start()
	return stop
}

// start is worker for tests that look into it.
func (w *world) start() (worker *Worker, stop func()) {
	w.t.Helper()
	worker = w.make()
	worker.Heed(w.heeds, "another")
	w.running = worker
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := worker.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	return worker, func() { cancel(); <-done }
}

// make makes a worker for tests that run it themselves.
func (w *world) make() *Worker {
	w.t.Helper()
	open := func(_ context.Context, _ string, wire []byte, _ []holdfast.Header) (holdfast.Value, error) {
		if len(wire) == 0 || wire[0] != 0 {
			return nil, holdfast.Permanent(holdfast.ClassPoison, "undecodable", errTombstone)
		}
		if w.open != nil {
			return value{}, w.open()
		}
		return value{}, nil
	}
	reg := prometheus.NewRegistry()
	worker, err := New(w.cfg, Deps{Sink: w.sinkOrSelf(), Open: open, Kafka: w.opts, Limit: w.limit, Endpoints: w.endpoints, Tenants: w.tenants, Log: w.log, Metrics: NewMetrics(reg, kafka.NewCounters(reg))})
	if err != nil {
		w.t.Fatal(err)
	}
	return worker
}

// produce writes n records, each of a key of its own, with ids 0, 1, 2 and so on.
func (w *world) produce(n int) { w.produceKeys(n, n) }

// produceKeys writes n records over some keys in turn.
func (w *world) produceKeys(n, keys int) {
	w.t.Helper()
	for i := range n {
		w.send(&kgo.Record{
			Topic: source, Partition: int32(i % keys % 2), Key: []byte("k" + strconv.Itoa(i%keys)), Value: []byte{0},
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(strconv.Itoa(i))}},
		})
	}
}

func (w *world) send(r *kgo.Record) {
	w.t.Helper()
	if err := w.client.ProduceSync(w.t.Context(), r).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// read returns what a topic holds.
func (w *world) read(topic string) []*kgo.Record {
	w.t.Helper()
	c, err := kgo.NewClient(append(w.opts, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	var all []*kgo.Record
	for {
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
		fetches := c.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			return all
		}
		all = append(all, fetches.Records()...)
	}
}

// times returns when an event was attempted.
func (w *world) times(id string) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var at []time.Duration
	for _, a := range w.attempts {
		if a.id == id {
			at = append(at, a.at)
		}
	}
	return at
}

func (w *world) delivered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.settled)
}

// all returns every attempt so far.
func (w *world) all() []attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]attempt(nil), w.attempts...)
}

// isDelivered reports whether an event was.
func (w *world) isDelivered(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.settled[id].IsZero()
}
