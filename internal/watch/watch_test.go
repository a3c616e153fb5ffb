package watch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a broker, and what writes to it: plainly, and in transactions.
type bench struct {
	t     *testing.T
	opts  []kgo.Opt
	admin *kadm.Client
	plain *kgo.Client
	txn   *kgo.Client
}

func setup(t *testing.T) *bench {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders", "dlq.s", "redrive.s", topics.Dispositions))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := &bench{t: t, opts: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.MetadataMinAge(10 * time.Millisecond)}}
	b.plain = b.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	b.txn = b.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("x"))
	b.admin = kadm.NewClient(b.plain)
	return b
}

func (b *bench) client(more ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	client, err := kgo.NewClient(append(slices.Clip(b.opts), more...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.Close)
	return client
}

func (b *bench) write(client *kgo.Client, records ...*kgo.Record) {
	b.t.Helper()
	if err := client.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// transact writes in one transaction, which leaves a marker behind it.
func (b *bench) transact(records ...*kgo.Record) {
	b.t.Helper()
	if err := b.txn.BeginTransaction(); err != nil {
		b.t.Fatal(err)
	}
	b.write(b.txn, records...)
	if err := b.txn.EndTransaction(b.t.Context(), kgo.TryCommit); err != nil {
		b.t.Fatal(err)
	}
}

// letters are n dead letters of a partition, of events from the given one on.
func lettersOf(partition int32, from, n int64) []*kgo.Record {
	var all []*kgo.Record
	for i := range n {
		r := letterAt(from+i, 0)
		r.Partition, r.Timestamp = partition, time.Unix(5000+from+i, 0)
		all = append(all, r)
	}
	return all
}

func (b *bench) decide(partition int32, offset int64, state disposition.State) {
	b.t.Helper()
	r, err := disposition.Disposition{State: state, By: "ana", Reason: "r", At: time.Now()}.Record(
		holdfast.Coordinates{Topic: "dlq.s", Partition: partition, Offset: offset})
	if err != nil {
		b.t.Fatal(err)
	}
	if state == disposition.Open {
		r.Value = nil // a tombstone
	}
	b.write(b.plain, r)
}

// replica is a watcher whose worker's state is set by hand.
type replica struct {
	*Watcher
	mu    sync.Mutex
	parts map[int32]Part
}

func (b *bench) replica(nums ...int32) *replica {
	b.t.Helper()
	r := &replica{parts: map[int32]Part{}}
	for _, num := range nums {
		r.set(Part{Topic: "orders", Partition: num})
	}
	r.Watcher = New(Config{
		Groups: []Group{{Name: "s", Source: "orders", Parts: r.snapshot}},
		Kafka:  b.opts, Admin: b.admin, Log: zap.NewNop(), Every: 20 * time.Millisecond,
	}, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	return r
}

func (r *replica) set(p Part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts[p.Partition] = p
}

func (r *replica) drop(num int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.parts, num)
}

func (r *replica) snapshot() []Part {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.parts))
}

func (r *replica) open() float64   { return testutil.ToFloat64(r.series.open.WithLabelValues("s")) }
func (r *replica) oldest() float64 { return testutil.ToFloat64(r.series.oldest.WithLabelValues("s")) }

func (r *replica) lag() (records, seconds float64) {
	return testutil.ToFloat64(r.series.records.WithLabelValues("holdfast.s", "orders", "live")),
		testutil.ToFloat64(r.series.seconds.WithLabelValues("holdfast.s", "orders", "live"))
}

// eventually waits until what is shown is what is wanted.
func eventually(t *testing.T, want string, shown func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for shown() != want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s, want %s", shown(), want)
		}
	}
}

// TestOpenLettersAddUpOverReplicas: each counts the partitions that it owns,
// and over a rebalance the sum is the same again. Markers of transactions and
// letters that somebody decided about do not count.
func TestOpenLettersAddUpOverReplicas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.transact(lettersOf(0, 0, 3)...) // 0 1 2, and a marker at 3
	b.write(b.plain, lettersOf(1, 100, 2)...)
	b.decide(0, 0, disposition.Redriven)
	first, second := b.replica(0), b.replica(1)
	shown := func() string {
		return fmt.Sprintf("%v since %v, %v since %v", first.open(), first.oldest(), second.open(), second.oldest())
	}
	eventually(t, "2 since 5001, 2 since 5100", shown)
	b.transact(lettersOf(0, 50, 1)...) // 4
	b.decide(0, 1, disposition.Discarded)
	b.decide(1, 1, disposition.Acknowledged)
	eventually(t, "2 since 5002, 1 since 5100", shown)
	second.drop(1)
	first.set(Part{Topic: "orders", Partition: 1})
	eventually(t, "3 since 5002, 0 since 0", shown)
	b.decide(1, 1, disposition.Open) // nobody looks after it any more
	eventually(t, "4 since 5002, 0 since 0", shown)
	for _, p := range []int32{0, 1} {
		for offset := range int64(5) {
			b.decide(p, offset, disposition.Discarded)
		}
	}
	eventually(t, "0 since 0, 0 since 0", shown)
}

// TestRetentionIsShown as the broker has it, and takes letters away.
func TestRetentionIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: new("3600000")}}, "dlq.s"); err != nil {
		t.Fatal(err)
	}
	b.write(b.plain, lettersOf(0, 0, 5)...)
	r := b.replica(0, 1)
	shown := func() string {
		return fmt.Sprintf("%v of %v, kept for %v", r.open(), r.oldest(), testutil.ToFloat64(r.series.retention.WithLabelValues("s")))
	}
	eventually(t, "5 of 5000, kept for 3600", shown)
	if _, err := b.admin.DeleteRecords(t.Context(), kadm.Offsets{"dlq.s": {0: {Topic: "dlq.s", At: 3}}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "2 of 5003, kept for 3600", shown)
}

// TestLagIsWhatIsNotSettled: what the worker holds, and what it has not read.
// A partition of which nothing is left but markers is not behind; one that
// stands still is as old as its first record.
func TestLagIsWhatIsNotSettled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	order := func(partition int32) *kgo.Record {
		return &kgo.Record{Topic: "orders", Partition: partition, Value: []byte("v"), Timestamp: at}
	}
	b.transact(order(0), order(0)) // 0 1, and a marker at 2
	b.write(b.plain, order(1), order(1), order(1))
	r := b.replica()
	shown := func() string {
		records, seconds := r.lag()
		return fmt.Sprintf("%v records, %d minutes", records, int(seconds/60))
	}
	r.set(Part{Topic: "orders", Partition: 0, Next: 2})
	r.set(Part{Topic: "orders", Partition: 1, Next: 3})
	eventually(t, "0 records, 0 minutes", shown)
	b.transact(order(0))
	r.set(Part{Topic: "orders", Partition: 1, Next: 3, Held: 2, Oldest: time.Now().Add(-10 * time.Minute)})
	eventually(t, "5 records, 60 minutes", shown) // two markers around the record that is not read count too
	r.set(Part{Topic: "orders", Partition: 0, Next: 5})
	eventually(t, "2 records, 10 minutes", shown)
	r.set(Part{Topic: "orders", Partition: 0, Next: -1}) // nothing was ever read of it
	r.drop(1)
	eventually(t, "5 records, 60 minutes", shown)
}
