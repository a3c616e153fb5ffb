package dlq_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"holdfast.internal"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 3

// bench is a cluster with the topics of one sink.
type bench struct {
	*testing.T
	ctx     context.Context
	fake    *kfake.Cluster // nil on a real Kafka
	connect []kgo.Opt
	client  *kgo.Client
	box     *dlq.Box
}

// setup gives the test a sink of its own on kfake, or on the brokers that
// HOLDFAST_TEST_KAFKA names. holdfast.dispositions is shared by all tests on a
// real Kafka, as it is by all sinks.
func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t}
	seeds := strings.Split(os.Getenv("HOLDFAST_TEST_KAFKA"), ",")
	if seeds[0] == "" {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DefaultNumPartitions(partitions))
		b.must(err)
		t.Cleanup(fake.Close)
		b.fake, seeds = fake, fake.ListenAddrs()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	b.ctx = ctx
	b.connect = []kgo.Opt{kgo.SeedBrokers(seeds...)}
	client, err := kgo.NewClient(append(b.connect, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	b.must(err)
	t.Cleanup(client.Close)
	b.client = client
	target := dlq.Target{
		Name: "stripe-" + uuid.NewString()[:8], Kind: "stripe", Source: "billing.v1",
		Tiers: []time.Duration{time.Second, 2 * time.Second},
	}
	b.box = &dlq.Box{Target: target, Client: client, Scanner: scan.Scanner{Connect: b.connect}}
	b.create(partitions, append(target.Retry(), target.Letters(), target.Redrive(), topics.Dispositions, topics.Audit)...)
	return b
}

// create makes topics and waits until they are served.
func (b *bench) create(count int32, names ...string) {
	b.Helper()
	changes := make([]topics.Change, len(names))
	for i, name := range names {
		changes[i] = topics.Change{Action: topics.Create, Topic: name, Partitions: count}
	}
	b.must(topics.Apply(b.ctx, b.client, changes))
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// letter makes the envelope of a failed record.
func (b *bench) letter(key string, origin int64, change ...func(*record.Envelope)) *record.Envelope {
	e := &record.Envelope{Payload: []byte("value " + strconv.FormatInt(origin, 10)), Sink: b.box.Target.Name, Spent: 4, Hop: 3}
	e.Event.ID = fmt.Sprintf("crm/inv_%d", origin)
	e.Event.Key = []byte(key)
	e.Event.Origin = holdfast.Coordinates{Topic: "billing.v1", Partition: 1, Offset: origin}
	e.Event.Time = time.UnixMilli(1_700_000_000_000)
	e.Event.Headers = []holdfast.Header{{Name: "ce_id", Value: []byte("inv")}, {Name: "traceparent", Value: []byte("00-trace")}}
	e.FirstAttempt = time.UnixMilli(1_700_000_000_500)
	e.Fail(holdfast.Failure{Class: holdfast.ClassValidation, Code: "card_declined", Status: 400, RequestID: "req_1", Detail: "declined"}, time.UnixMilli(1_700_000_001_000))
	for _, f := range change {
		f(e)
	}
	return e
}

// bury writes dead letters to partition 1 and returns their offsets.
func (b *bench) bury(letters ...*record.Envelope) []int64 {
	b.Helper()
	records := make([]*kgo.Record, len(letters))
	for i, e := range letters {
		records[i] = e.ToDeadLetters(b.box.Target.Letters(), 1, 7, b.box.Target.Group())
	}
	return b.write(records...)
}

func (b *bench) write(records ...*kgo.Record) []int64 {
	b.Helper()
	b.must(b.client.ProduceSync(b.ctx, records...).FirstErr())
	offsets := make([]int64, len(records))
	for i, r := range records {
		offsets[i] = r.Offset
	}
	return offsets
}

func (b *bench) list(o dlq.ListOptions) []dlq.Letter {
	b.Helper()
	var out []dlq.Letter
	b.must(b.box.List(b.ctx, o, func(l dlq.Letter) error {
		out = append(out, l)
		return nil
	}))
	return out
}

func (b *bench) plan(s dlq.Selection) *dlq.Plan {
	b.Helper()
	plan, err := b.box.Plan(b.ctx, s)
	b.must(err)
	return plan
}

func (b *bench) redrive(plan *dlq.Plan) *dlq.Sent {
	b.Helper()
	sent, err := b.box.Redrive(b.ctx, plan, job("rd-1"))
	b.must(err)
	return sent
}

func job(id string) dlq.Job { return dlq.Job{ID: id, By: "ana", Reason: "INC-2041"} }

// all reads a whole topic, by partition and offset.
func (b *bench) all(topic string) []*kgo.Record {
	b.Helper()
	extents, err := scan.Measure(b.ctx, kadm.NewClient(b.box.Client), topic)
	b.must(err)
	var out []*kgo.Record
	_, err = b.box.Scanner.Read(b.ctx, extents.Whole(), scan.Budget{}, func(r *kgo.Record) error {
		out = append(out, r)
		return nil
	})
	b.must(err)
	slices.SortStableFunc(out, func(x, y *kgo.Record) int { return int(x.Partition - y.Partition) })
	return out
}

// settle commits the sink's group up to and with a record.
func (b *bench) settle(topic string, offset int64) {
	b.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 1, offset+1, -1)
	_, err := kadm.NewClient(b.box.Client).CommitOffsets(b.ctx, b.box.Target.Group(), offsets)
	b.must(err)
}

func (b *bench) at(offset int64) holdfast.Coordinates {
	return holdfast.Coordinates{Topic: b.box.Target.Letters(), Partition: 1, Offset: offset}
}

// audit is what the audit topic says of this test's sink.
func (b *bench) audit() []string {
	b.Helper()
	var lines []string
	for _, r := range b.all(topics.Audit) {
		if strings.Contains(string(r.Value), b.box.Target.Name) {
			lines = append(lines, string(r.Value))
		}
	}
	return lines
}
