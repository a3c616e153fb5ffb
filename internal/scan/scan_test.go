package scan_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"go.uber.org/goleak"

	"holdfast.internal/internal/scan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bench struct {
	ctx     context.Context
	scanner scan.Scanner
	admin   *kadm.Client
	client  *kgo.Client
}

func setup(t *testing.T) bench {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	connect := []kgo.Opt{kgo.SeedBrokers(fake.ListenAddrs()...)}
	client, err := kgo.NewClient(append(connect, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("x"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return bench{ctx, scan.Scanner{Connect: connect}, kadm.NewClient(client), client}
}

// write writes n records, numbered, to partition 0 in one transaction.
func (b bench) write(t *testing.T, n int, end kgo.TransactionEndTry) {
	t.Helper()
	if err := b.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := b.client.ProduceSync(b.ctx, &kgo.Record{Topic: "t", Value: []byte(strconv.Itoa(i))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.client.EndTransaction(b.ctx, end); err != nil {
		t.Fatal(err)
	}
}

func (b bench) extents(t *testing.T) scan.Extents {
	t.Helper()
	e, err := scan.Measure(b.ctx, b.admin, "t")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func collect(into *[]int64) func(*kgo.Record) error {
	return func(r *kgo.Record) error {
		*into = append(*into, r.Offset)
		return nil
	}
}

func TestReadEndsWhereTheTopicEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, 3, kgo.TryCommit) // 0 1 2, marker 3
	frozen := b.extents(t)
	b.write(t, 2, kgo.TryAbort)  // 4 5, marker 6
	b.write(t, 1, kgo.TryCommit) // 7, marker 8
	b.write(t, 1, kgo.TryAbort)  // 9, marker 10
	for name, c := range map[string]struct {
		ranges scan.Ranges
		want   []int64
	}{
		"what came later is not read":              {frozen.Whole(), []int64{0, 1, 2}},
		"aborted records and markers are not read": {b.extents(t).Whole(), []int64{0, 1, 2, 7}},
		"from a position":                          {b.extents(t).From(func(string, int32) (int64, bool) { return 2, true }), []int64{2, 7}},
		"nothing":                                  {scan.Ranges{}, nil},
		"a stretch of nothing but what is aborted": {scan.Ranges{"t": {0: {From: 4, To: 6}}}, nil},
	} {
		var got []int64
		result, err := b.scanner.Read(b.ctx, c.ranges, scan.Budget{}, collect(&got))
		if err != nil || result.Partial != "" || !slices.Equal(got, c.want) || result.Records != int64(len(c.want)) {
			t.Errorf("%s: %v, %+v, %v; want %v", name, got, result, err, c.want)
		}
	}
	if _, ok, err := b.scanner.One(b.ctx, "t", 0, 5); ok || err != nil {
		t.Errorf("an aborted record: %v, %v", ok, err)
	}
	if r, ok, err := b.scanner.One(b.ctx, "t", 0, 7); !ok || err != nil || string(r.Value) != "0" {
		t.Errorf("one record: %v, %v", ok, err)
	}
}

func TestReadKeepsToItsBudget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, 10, kgo.TryCommit)
	for name, budget := range map[string]scan.Budget{
		"records": {Records: 4}, "bytes": {Bytes: 4}, "time": {Time: time.Nanosecond},
	} {
		var got []int64
		result, err := b.scanner.Read(b.ctx, b.extents(t).Whole(), budget, collect(&got))
		if err != nil || result.Partial == "" || len(got) > 4 {
			t.Errorf("%s: %v, %+v, %v", name, got, result, err)
		}
	}
	var n int
	result, err := b.scanner.Read(b.ctx, b.extents(t).Whole(), scan.Budget{}, func(*kgo.Record) error {
		if n++; n == 3 {
			return scan.ErrStop
		}
		return nil
	})
	if err != nil || n != 3 || result.Partial != "" {
		t.Errorf("stop: %d, %+v, %v", n, result, err)
	}
}

func TestReadReportsWhatRetentionTook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, 5, kgo.TryCommit)
	stale := b.extents(t).Whole()
	if _, err := b.admin.DeleteRecords(b.ctx, kadm.Offsets{"t": {0: {Topic: "t", At: 3}}}); err != nil {
		t.Fatal(err)
	}
	var got []int64
	if _, err := b.scanner.Read(b.ctx, stale, scan.Budget{}, collect(&got)); err == nil {
		t.Errorf("read %v over a gap without an error", got)
	}
	if _, err := b.scanner.Read(b.ctx, b.extents(t).Whole(), scan.Budget{}, collect(&got)); err != nil || !slices.Equal(got, []int64{3, 4}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	_, err := b.scanner.Read(ctx, scan.Ranges{"t": {0: {From: 0, To: 10}}}, scan.Budget{}, func(*kgo.Record) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestMeasureNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := scan.Measure(b.ctx, b.admin, "t", "nope"); !errors.Is(err, scan.ErrNoTopic) {
		t.Errorf("%v", err)
	}
	e, err := scan.MeasureExisting(b.ctx, b.admin, "t", "nope")
	if err != nil || len(e) != 1 {
		t.Errorf("%v, %v", e, err)
	}
}

func TestBackwardsReadsTheNewestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	const n = 12_000
	for range n {
		b.client.Produce(b.ctx, &kgo.Record{Topic: "t"}, nil)
	}
	if err := b.client.Flush(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.client.EndTransaction(b.ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	var got []int64
	result, err := b.scanner.Backwards(b.ctx, b.extents(t).Whole(), scan.Budget{}, collect(&got))
	if err != nil || result.Partial != "" || len(got) != n {
		t.Fatalf("%d records, %+v, %v", len(got), result, err)
	}
	if got[0] != n+1-5000 {
		t.Errorf("began at %d", got[0])
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != n {
		t.Error("something was read twice")
	}
	got = nil
	result, err = b.scanner.Backwards(b.ctx, b.extents(t).Whole(), scan.Budget{Records: 4999}, collect(&got))
	if err != nil || result.Partial == "" || len(got) != 4999 || slices.Min(got) < n-5000 {
		t.Errorf("with a budget: %d records, %+v, %v", len(got), result, err)
	}
}

// TestFollowSaysThatItHearsNothing: whoever may not read a topic would wait for
// what is never said.
func TestFollowSaysThatItHearsNothing(t *testing.T) {
	t.Parallel()
	may := func(op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "t", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	for name, rights := range map[string][]kfake.ACL{
		"no right to read":     {may(kmsg.ACLOperationDescribe)},
		"no right to describe": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"), kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "ana", "secret", rights...))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(fake.Close)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			connect := []kgo.Opt{kgo.SeedBrokers(fake.ListenAddrs()...), kgo.SASL(plain.Auth{User: "ana", Pass: "secret"}.AsMechanism())}
			var said error
			err = scan.Follow(ctx, connect, "t", func(*kgo.Record) {}, func(err error) { said = err; cancel() })
			if err != nil || !errors.Is(said, kerr.TopicAuthorizationFailed) {
				t.Errorf("said %v, %v", said, err)
			}
		})
	}
}
