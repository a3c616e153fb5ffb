package growth

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/topics"
)

const source = "orders.v1"

// grown is a broker whose source has grown from two partitions to four, with
// three records in each of the old ones, and whose followers have not.
func grown(t *testing.T) *kgo.Client {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, source), kfake.SeedTopics(2, topics.Redrive("s")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for i := range 6 {
		r := &kgo.Record{Topic: source, Partition: int32(i % 2), Value: []byte("v")}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

func TestACutIsRememberedUntilItIsForgotten(t *testing.T) {
	t.Parallel()
	client, ctx := grown(t), t.Context()
	admin := kadm.NewClient(client)
	if c, err := Read(ctx, client, "s", source); c != nil || err != nil {
		t.Fatalf("before anything was written: %v, %v", c, err)
	}
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	c, err := Take(ctx, admin, source, 2, 4, Learning, at)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(ctx, admin, "s", source, c); err != nil {
		t.Fatal(err)
	}
	got, err := Read(ctx, client, "s", source)
	if err != nil {
		t.Fatal(err)
	}
	if got.From != 2 || got.To != 4 || got.Stage != Learning || !got.Grown.Equal(at) || !slices.Equal(got.Ends, []int64{3, 3}) {
		t.Errorf("read %+v of what was written as %+v", got, c)
	}
	for range 2 { // to forget what is forgotten is no error
		if err := Forget(ctx, admin, "s"); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := Read(ctx, client, "s", source); c != nil || err != nil {
		t.Errorf("after it was forgotten: %v, %v", c, err)
	}
}

// TestAMarkStays: `topic apply` that is run twice, or beside a worker that has
// noticed first, does not move the cut.
func TestAMarkStays(t *testing.T) {
	t.Parallel()
	client, ctx := grown(t), t.Context()
	admin := kadm.NewClient(client)
	if err := Mark(ctx, client, "s", source); err != nil {
		t.Fatal(err)
	}
	first, err := Read(ctx, client, "s", source)
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	if first.Stage != Stopped || !slices.Equal(first.Ends, []int64{3, 3}) {
		t.Errorf("marked %+v", first)
	}
	later := *first
	later.Stage, later.Ends = Crossing, []int64{1, 2}
	if err := Write(ctx, admin, "s", source, &later); err != nil {
		t.Fatal(err)
	}
	if err := Mark(ctx, client, "s", source); err != nil {
		t.Fatal(err)
	}
	if again, err := Read(ctx, client, "s", source); err != nil || again.Stage != Crossing || !slices.Equal(again.Ends, []int64{1, 2}) {
		t.Errorf("a second mark left %+v, %v", again, err)
	}
}

func TestNothingIsMarkedWhereNothingGrew(t *testing.T) {
	t.Parallel()
	client, ctx := grown(t), t.Context()
	admin := kadm.NewClient(client)
	if _, err := admin.CreatePartitions(ctx, 2, topics.Redrive("s")); err != nil {
		t.Fatal(err)
	}
	for sink, why := range map[string]string{"s": "its followers have grown", "new": "it has no followers yet"} {
		if err := Mark(ctx, client, sink, source); err != nil {
			t.Fatal(err)
		}
		if c, err := Read(ctx, client, sink, source); c != nil || err != nil {
			t.Errorf("%s: marked %+v, %v", why, c, err)
		}
	}
}

// TestACutThatIsIncompleteIsNoCut: a cut that somebody has damaged stops the
// sink, and says where.
func TestACutThatIsIncompleteIsNoCut(t *testing.T) {
	t.Parallel()
	client, ctx := grown(t), t.Context()
	admin := kadm.NewClient(client)
	var half kadm.Offsets
	half.Add(kadm.Offset{Topic: source, Partition: 0, At: 3, LeaderEpoch: -1, Metadata: `{"from":2,"to":4,"stage":"stopped"}`})
	if err := admin.CommitAllOffsets(ctx, Group("s"), half); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(ctx, client, "s", source); err == nil || !strings.Contains(err.Error(), "holdfast.s.growth") || !strings.Contains(err.Error(), "partition 1") {
		t.Errorf("half a cut: %v", err)
	}
	var garbage kadm.Offsets
	garbage.Add(kadm.Offset{Topic: source, Partition: 0, At: 3, LeaderEpoch: -1, Metadata: "mine"})
	if err := admin.CommitAllOffsets(ctx, Group("s"), garbage); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(ctx, client, "s", source); err == nil || !strings.Contains(err.Error(), "holdfast.s.growth") {
		t.Errorf("garbage: %v", err)
	}
}
