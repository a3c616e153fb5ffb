package lookup_test

import (
	"context"
	"encoding/json"
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
	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/lookup"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/sinkstate"
	"holdfast.internal/internal/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a cluster with a processor and the sink behind it.
type bench struct {
	*testing.T
	ctx       context.Context
	client    *kgo.Client
	look      *lookup.Lookup
	sink      dlq.Target
	processor dlq.Target
	now       time.Time
}

func setup(t *testing.T) *bench {
	t.Helper()
	seeds := strings.Split(os.Getenv("HOLDFAST_TEST_KAFKA"), ",")
	if seeds[0] == "" {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		seeds = fake.ListenAddrs()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	connect := []kgo.Opt{kgo.SeedBrokers(seeds...)}
	client, err := kgo.NewClient(append(connect, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	id := uuid.NewString()[:8]
	b := &bench{T: t, ctx: ctx, client: client, now: time.Now()}
	b.processor = dlq.Target{Name: "transform-" + id, Source: "crm-" + id + ".v1", Processor: true}
	b.sink = dlq.Target{Name: "stripe-" + id, Kind: "stripe", Source: "billing-" + id + ".v1", Tiers: []time.Duration{time.Minute, 2 * time.Minute}}
	b.look = &lookup.Lookup{
		Targets: []dlq.Target{b.processor, b.sink}, Client: client, Scanner: scan.Scanner{Connect: connect},
		Now: func() time.Time { return b.now },
	}
	names := append(b.sink.Retry(), b.sink.Source, b.sink.Redrive(), b.sink.Letters(), b.processor.Source, b.processor.Redrive(),
		b.processor.Letters(), topics.Dispositions, topics.Receipts, topics.Sinks)
	var made []topics.Change
	for _, name := range names {
		made = append(made, topics.Change{Action: topics.Create, Topic: name, Partitions: 2})
	}
	b.must(topics.Apply(ctx, client, made))
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) write(r *kgo.Record) holdfast.Coordinates {
	b.Helper()
	b.must(b.client.ProduceSync(b.ctx, r).FirstErr())
	return holdfast.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// invoice writes a record to the sink's source, as a processor would.
func (b *bench) invoice(id, key string) *record.Envelope {
	b.Helper()
	r := &kgo.Record{Topic: b.sink.Source, Partition: 1, Key: []byte(key), Headers: []kgo.RecordHeader{
		{Key: record.HeaderEventID, Value: []byte(id)},
		{Key: record.HeaderParent, Value: []byte(b.processor.Source + "-0@9")},
		{Key: record.HeaderRedrive, Value: []byte("count=9")}, // nobody believes a producer
	}}
	b.write(r)
	return record.Read(r, record.FromProducer)
}

// move writes the record to its next place and returns it as found there.
func (b *bench) move(e *record.Envelope, topic string, change func(*record.Envelope)) *record.Envelope {
	b.Helper()
	next := *e
	next.Sink = b.sink.Name
	if change != nil {
		change(&next)
	}
	r := next.To(topic, 1, 1)
	if topic == b.sink.Letters() {
		r = next.ToDeadLetters(topic, 1, 1, b.sink.Group())
	}
	b.write(r)
	return record.Read(r, record.FromHoldfast)
}

func (b *bench) settle(t dlq.Target, topic string, next int64) {
	b.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 1, next, -1)
	_, err := kadm.NewClient(b.look.Client).CommitOffsets(b.ctx, t.Group(), offsets)
	b.must(err)
}

func (b *bench) find(query string) []lookup.Match {
	b.Helper()
	found, err := b.look.Find(b.ctx, query, scan.Budget{})
	b.must(err)
	if found.Partial != "" {
		b.Fatal(found.Partial)
	}
	return found.Matches
}

func (b *bench) one(query string) lookup.Match {
	b.Helper()
	matches := b.find(query)
	if len(matches) != 1 {
		b.Fatalf("%s: %d matches: %+v", query, len(matches), matches)
	}
	return matches[0]
}

func failed(due time.Time) func(*record.Envelope) {
	return func(e *record.Envelope) {
		e.Spent, e.Due = 1, due
		e.Fail(holdfast.Failure{Class: holdfast.ClassVendor5xx, Status: 503, RequestID: "req_9"}, due)
	}
}

func TestFindFollowsARecordFromTheSourceToTheDeadAndBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.invoice("crm/inv_1", "cust_44")
	origin := e.Event.Origin.String()
	expect := func(state lookup.State, at string, hops int) {
		t.Helper()
		for _, query := range []string{"crm/inv_1", "cust_44", origin} {
			m := b.one(query)
			if m.State != state || m.At != at || len(m.Hops) != hops || m.Origin != origin || m.Sink != b.sink.Name || m.EventID != "crm/inv_1" {
				t.Errorf("find %s: %+v, want %s at %s after %d hops", query, m, state, at, hops)
			}
		}
	}
	expect(lookup.Waiting, origin, 1)
	if note := b.one("crm/inv_1").Note; !strings.Contains(note, "no worker") {
		t.Errorf("note %q", note)
	}

	tier := b.move(e, b.sink.Retry()[0], failed(b.now.Add(time.Minute)))
	b.settle(b.sink, b.sink.Source, 1)
	expect(lookup.Retry, tier.At.String(), 2)
	if m := b.one("req_9"); m.Note != "due in 1m0s" || m.Attempts != 1 || m.Class != "vendor_5xx" || m.Due == nil || m.Hops[1].Status != 503 {
		t.Errorf("in a tier: %+v", m)
	}

	dead := b.move(tier, b.sink.Letters(), nil)
	b.settle(b.sink, b.sink.Retry()[0], 1)
	expect(lookup.Dead, dead.At.String(), 3)

	box := dlq.Box{Target: b.sink, Client: b.look.Client, Scanner: b.look.Scanner}
	plan, err := box.Plan(b.ctx, dlq.Selection{})
	b.must(err)
	_, err = box.Redrive(b.ctx, plan, dlq.Job{ID: "rd-1", By: "ana", Reason: "mended"})
	b.must(err)
	expect(lookup.Waiting, b.sink.Redrive()+"-1@0", 4)

	receipt, err := json.Marshal(record.Receipt{VendorIDs: record.VendorIDs{ObjectID: "in_1", RequestID: "req_10"}, Attempts: 2, At: time.Now().Add(time.Second)})
	b.must(err)
	key := []byte(b.sink.Name + "/crm/inv_1")
	about, err := kadm.NewClient(b.look.Client).ListTopics(b.ctx, topics.Receipts) // shared with other tests of this cluster
	b.must(err)
	p := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, len(about[topics.Receipts].Partitions))
	b.write(&kgo.Record{Topic: topics.Receipts, Partition: int32(p), Key: key, Value: receipt})
	expect(lookup.Delivered, b.sink.Redrive()+"-1@0", 4)
	b.settle(b.sink, b.sink.Redrive(), 1)
	expect(lookup.Delivered, b.sink.Redrive()+"-1@0", 4)
	if ids := b.one("crm/inv_1").VendorIDs; ids == nil || *ids != (record.VendorIDs{ObjectID: "in_1", RequestID: "req_10"}) {
		t.Errorf("vendor ids %+v", ids)
	}
	if b.one(dead.At.String()).Origin != origin {
		t.Error("a dead letter's coordinates lead elsewhere than its origin's")
	}
}

func TestFindShowsAnEventAtEveryStage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.write(&kgo.Record{Topic: b.processor.Source, Partition: 1, Key: []byte("k"), Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("e1")}}})
	b.settle(b.processor, b.processor.Source, 1)
	b.write(&kgo.Record{Topic: b.sink.Source, Partition: 0, Headers: []kgo.RecordHeader{
		{Key: record.HeaderEventID, Value: []byte("e1")}, {Key: record.HeaderParent, Value: []byte(in.String())},
	}})
	for _, query := range []string{"e1", in.String()} {
		matches := b.find(query)
		if len(matches) != 2 {
			t.Fatalf("%s: %+v", query, matches)
		}
		if m := matches[0]; m.Processor != b.processor.Name || m.Sink != "" || m.State != lookup.Delivered {
			t.Errorf("%s: processed: %+v", query, m)
		}
		if m := matches[1]; m.Sink != b.sink.Name || m.State != lookup.Waiting || m.Parent != in.String() || m.Key != nil {
			t.Errorf("%s: waiting for the sink: %+v", query, m)
		}
	}
	for _, nothing := range []string{"e2", "", b.sink.Source + "-0@77", "no.such.topic-1@1", "-", "@"} {
		if matches := b.find(nothing); len(matches) != 0 {
			t.Errorf("%q: %+v", nothing, matches)
		}
	}
}

// TestFindShowsAKeyInItsOrder, as it lies: that is what a key is looked for.
func TestFindShowsAKeyInItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var list []*kgo.Record
	for i := range 12 {
		list = append(list, &kgo.Record{Topic: b.sink.Source, Partition: 1, Key: []byte("cust_7"), Timestamp: b.now, Headers: []kgo.RecordHeader{
			{Key: record.HeaderEventID, Value: []byte("e" + strconv.Itoa(i))},
		}})
	}
	b.must(b.client.ProduceSync(b.ctx, list...).FirstErr())
	var got []string
	for _, m := range b.find("cust_7") {
		got = append(got, m.EventID)
	}
	if want := []string{"e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10", "e11"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestFindKnowsAnEventByTheIdOfItsProducer: who inserted an outbox row has its
// id, which is the ce_id, and knows nothing of the source in front of it.
func TestFindKnowsAnEventByTheIdOfItsProducer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := b.write(&kgo.Record{Topic: b.processor.Source, Partition: 1, Headers: []kgo.RecordHeader{
		{Key: "ce_source", Value: []byte("holdfast/outbox/outbox")}, {Key: "ce_id", Value: []byte("5f1c")},
	}})
	if m := b.one("5f1c"); m.Origin != at.String() || m.EventID != "holdfast/outbox/outbox/5f1c" {
		t.Errorf("%+v", m)
	}
	if matches := b.find("outbox/5f1c"); len(matches) != 0 {
		t.Errorf("part of an id: %+v", matches)
	}
}

// TestFindKnowsWhatPeopleSee: the vendor's object, as its own pages and find
// itself show it, and a field of the value, such as an invoice's number.
func TestFindKnowsWhatPeopleSee(t *testing.T) {
	t.Parallel()
	b := setup(t)
	text := func(s string) string { return string(rune(2*len(s))) + s } // as Avro writes it
	value := []byte("\x00\x00\x00\x00\x07" + text("2026-000152") + text("EUR"))
	at := b.write(&kgo.Record{Topic: b.sink.Source, Partition: 1, Key: []byte("cus_1"), Value: value, Headers: []kgo.RecordHeader{
		{Key: record.HeaderEventID, Value: []byte("crm/inv/152")},
	}})
	b.write(&kgo.Record{Topic: b.sink.Source, Partition: 1, Key: []byte("cus_2"), Value: []byte(text("2026-0001521"))})
	about, err := kadm.NewClient(b.look.Client).ListTopics(b.ctx, topics.Receipts)
	b.must(err)
	answered := func(sink, event string) {
		t.Helper()
		receipt, err := json.Marshal(record.Receipt{VendorIDs: record.VendorIDs{ObjectID: "in_00000152", RequestID: "req_152"}, Attempts: 1, At: time.Now().Add(time.Second)})
		b.must(err)
		key := record.ReceiptKey(sink, event)
		p := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, len(about[topics.Receipts].Partitions))
		b.write(&kgo.Record{Topic: topics.Receipts, Partition: int32(p), Key: key, Value: receipt})
	}
	answered(b.sink.Name, "crm/inv/152")
	for i := range 8 { // another's, whose vendor numbers its objects alike
		answered("sandbox-"+b.sink.Name, "crm/inv/"+strconv.Itoa(i))
	}
	for _, query := range []string{"in_00000152", "req_152", "2026-000152"} {
		if m := b.one(query); m.Origin != at.String() || m.State != lookup.Delivered || m.VendorIDs == nil {
			t.Errorf("%s: %+v", query, m)
		}
	}
	// A batch is one request, and makes one object.
	b.write(&kgo.Record{Topic: b.sink.Source, Partition: 0, Headers: []kgo.RecordHeader{{Key: record.HeaderEventID, Value: []byte("crm/inv/153")}}})
	answered(b.sink.Name, "crm/inv/153")
	for _, query := range []string{"in_00000152", "req_152"} {
		if matches := b.find(query); len(matches) != 2 {
			t.Errorf("%s: two of one request: %+v", query, matches)
		}
	}
	// What the processor read has the text, what it made of it has not.
	b.write(&kgo.Record{Topic: b.processor.Source, Partition: 1, Value: []byte(text("PO-7731")), Headers: []kgo.RecordHeader{
		{Key: record.HeaderEventID, Value: []byte("crm/inv/152")},
	}})
	if matches := b.find("PO-7731"); len(matches) != 2 || matches[0].Sink+matches[1].Sink != b.sink.Name {
		t.Errorf("followed to the sink: %+v", matches)
	}
	for _, query := range []string{"EUR", "2026-0001", "in_0000015"} { // too short, or a part
		if matches := b.find(query); len(matches) != 0 {
			t.Errorf("%s: %+v", query, matches)
		}
	}
}

func TestFindSaysWhenItsBudgetWasSpent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 20 {
		b.invoice("e"+strconv.Itoa(i), "k")
	}
	found, err := b.look.Find(b.ctx, "e19", scan.Budget{Records: 5})
	b.must(err)
	if found.Partial == "" {
		t.Error("a spent budget is not told")
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lag := func() lookup.Lag {
		t.Helper()
		lags, err := b.look.Lag(b.ctx, lookup.LagBudget())
		b.must(err)
		if len(lags) != 2 || lags[0].Sink != b.sink.Name || lags[1].Processor != b.processor.Name {
			t.Fatalf("%+v", lags)
		}
		return lags[0]
	}
	if l := lag(); l.Live != 0 || l.DLQ != 0 || l.Retry["1m"] != (lookup.Tier{}) || l.Retry["2m"] != (lookup.Tier{}) || l.Breaker != nil {
		t.Errorf("empty: %+v", l)
	}
	e := b.invoice("e1", "a")
	b.invoice("e2", "b")
	b.invoice("e3", "c")
	b.settle(b.sink, b.sink.Source, 1)
	tier := b.sink.Retry()[0]
	for _, due := range []time.Duration{time.Minute, -time.Second, -time.Minute} {
		b.move(e, tier, failed(b.now.Add(due)))
	}
	wait := func(e *record.Envelope) { e.Due = b.now.Add(time.Minute) }
	b.move(e, b.sink.Retry()[1], wait)
	b.move(e, b.sink.Retry()[1], wait)
	b.move(e, b.sink.Letters(), failed(b.now))
	l := lag()
	if l.Live != 2 || l.DLQ != 1 || l.Partial != "" || l.Redrive != 0 {
		t.Errorf("%+v", l)
	}
	if l.Retry["1m"] != (lookup.Tier{Waiting: 3, Due: 2, Late: 1}) || l.Retry["2m"] != (lookup.Tier{Waiting: 2}) {
		t.Errorf("tiers %+v", l.Retry)
	}
	if l.ParkedKeys != 1 || l.ParkedRecords != 2 {
		t.Errorf("parked: %d records of %d keys", l.ParkedRecords, l.ParkedKeys)
	}
	lags, err := b.look.Lag(b.ctx, scan.Budget{Records: 1})
	b.must(err)
	if lags[0].Partial == "" || lags[0].Live != 2 || lags[0].Retry["1m"].Waiting != 3 {
		t.Errorf("beyond the budget: %+v", lags[0])
	}
}

// What waits for a processor: its source, redriven letters, and open ones.
func TestLagOfAProcessor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.write(&kgo.Record{Topic: b.processor.Source, Partition: 1, Key: []byte("k")})
	}
	b.settle(b.processor, b.processor.Source, 1)
	b.write(&kgo.Record{Topic: b.processor.Redrive(), Partition: 0, Key: []byte("k")})
	in := record.Read(&kgo.Record{Topic: b.processor.Source, Partition: 1, Offset: 0, Key: []byte("k")}, record.FromProducer)
	in.Fail(holdfast.Failure{Class: holdfast.ClassTransform}, b.now)
	b.write(in.ToDeadLetters(b.processor.Letters(), 1, 1, b.processor.Group()))
	lags, err := b.look.Lag(b.ctx, lookup.LagBudget())
	b.must(err)
	l := lags[1]
	if l.Kind != lookup.OfProcessor || l.Processor != b.processor.Name || l.Sink != "" || l.Live != 2 || l.Redrive != 1 || l.DLQ != 1 || len(l.Retry) != 0 || l.Breaker != nil || l.Workers == nil || *l.Workers != 0 {
		t.Errorf("%+v", l)
	}
	if sink := lags[0]; sink.Kind != lookup.OfSink || sink.Live != 0 || sink.DLQ != 0 {
		t.Errorf("the sink behind it: %+v", sink)
	}
}

// A record that moved on counts once, though an earlier one of its partition
// keeps its offset from being settled.
func TestLagCountsARecordWhereItLiesNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoice("in work", "a")
	b.move(b.invoice("waits", "b"), b.sink.Retry()[0], failed(b.now.Add(time.Minute)))
	b.move(b.invoice("dead", "c"), b.sink.Letters(), failed(b.now))
	lags, err := b.look.Lag(b.ctx, lookup.LagBudget())
	b.must(err)
	if l := lags[0]; l.Live != 1 || l.Retry["1m"].Waiting != 1 || l.DLQ != 1 {
		t.Errorf("%+v", l)
	}
}

// What a worker says is shown while somebody works, and trouble also without:
// it is said every few seconds.
func TestLagShowsHowTheSinkStands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	say := func(s sinkstate.State) lookup.Lag {
		t.Helper()
		s.Sink, s.Worker = b.sink.Name, "w"
		r, err := s.Record()
		b.must(err)
		b.write(r)
		lags, err := b.look.Lag(b.ctx, lookup.LagBudget())
		b.must(err)
		return lags[0]
	}
	b.now = time.Now()
	if l := say(sinkstate.State{Breaker: sinkstate.Closed, At: b.now}); l.Breaker != nil {
		t.Errorf("nobody works, and the breaker is %q", *l.Breaker)
	}
	probe := b.now.Add(40 * time.Second).UTC().Truncate(time.Millisecond)
	open := sinkstate.State{Breaker: sinkstate.Open, ProbeAt: probe, At: b.now}
	if l := say(open); l.Breaker == nil || *l.Breaker != "open" || l.Next != "probe in 40s" || l.NextAt == nil || !l.NextAt.Equal(probe) || l.Held != "" {
		t.Errorf("open: %+v", l)
	}
	open.At = b.now.Add(-2 * time.Minute)
	if l := say(open); l.Breaker != nil || l.Next != "" {
		t.Errorf("trouble of two minutes ago: %+v", l)
	}
	held := sinkstate.State{Breaker: sinkstate.Closed, Held: sinkstate.Mapping, Until: probe, At: b.now}
	if l := say(held); l.Breaker == nil || *l.Breaker != "closed" || l.Held != "mapping" || l.NextAt == nil || l.Next != "mapping held, try in 40s" {
		t.Errorf("held: %+v", l)
	}
	all, err := b.look.Standings(b.ctx)
	b.must(err)
	if len(all) != 1 || all[0].Sink != b.sink.Name || all[0].Held != "mapping" || all[0].Workers == nil || *all[0].Workers != 0 {
		t.Errorf("standings: %+v", all)
	}
	held.Endpoint, held.FreeAt = "orders.create", probe.Add(time.Hour)
	if l := say(held); l.Held != "mapping" || !l.NextAt.Equal(probe) || l.Endpoint != "orders.create" || l.EndpointUntil == nil || !l.EndpointUntil.Equal(held.FreeAt) {
		t.Errorf("held, and an endpoint besides: %+v", l)
	}
	endpoint := sinkstate.State{Breaker: sinkstate.Closed, Endpoint: "orders.create", FreeAt: probe, At: b.now}
	if l := say(endpoint); l.Held != lookup.HeldEndpoint || l.Next != "orders.create throttled, goes on in 40s" || !l.NextAt.Equal(probe) || !l.EndpointUntil.Equal(probe) {
		t.Errorf("an endpoint alone: %+v", l)
	}
	b.now = probe.Add(-10 * time.Millisecond)
	if l := say(endpoint); l.Held != lookup.HeldEndpoint || l.Next == "" {
		t.Errorf("an endpoint, just before its end: %+v", l)
	}
	b.now = probe
	if l := say(endpoint); l.Held != "" || l.Endpoint != "" || l.EndpointUntil != nil || l.NextAt != nil {
		t.Errorf("an endpoint, at its end: %+v", l)
	}
}

// A sink that starts at the end of its source has nothing to do with what lay
// there before it came; once it has begun, what comes after is its own.
func TestLagOfASinkThatStartsAtTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.look.Targets[1].FromLatest = true
	live := func() int64 {
		t.Helper()
		lags, err := b.look.Lag(b.ctx, lookup.LagBudget())
		b.must(err)
		return lags[0].Live
	}
	b.invoice("e1", "a")
	b.invoice("e2", "b")
	if got := live(); got != 0 {
		t.Errorf("before it began: live %d", got)
	}
	b.settle(b.sink, b.sink.Source, 1)
	if got := live(); got != 1 {
		t.Errorf("once it has begun: live %d, want 1", got)
	}
}

// What is finished beyond the committed offset is neither live nor waiting.
func TestLagBelievesTheMetadataOfCommits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tracker, err := offsets.New(0, "")
	b.must(err)
	for at := range int64(4) {
		b.invoice("e"+strconv.FormatInt(at, 10), "k")
		tracker.Add(at)
	}
	tracker.Finish(1)
	tracker.Finish(3)
	head, metadata, _ := tracker.Commit()
	at := kadm.Offset{Topic: b.sink.Source, Partition: 1, At: head, LeaderEpoch: -1, Metadata: metadata}
	_, err = kadm.NewClient(b.look.Client).CommitOffsets(b.ctx, b.sink.Group(), kadm.Offsets{b.sink.Source: {1: at}})
	b.must(err)
	lags, err := b.look.Lag(b.ctx, lookup.LagBudget())
	b.must(err)
	if lags[0].Live != 2 {
		t.Errorf("live %d, want 2", lags[0].Live)
	}
	for id, want := range map[string]lookup.State{"e0": lookup.Waiting, "e1": lookup.Delivered, "e2": lookup.Waiting, "e3": lookup.Delivered} {
		if m := b.one(id); m.State != want {
			t.Errorf("%s is %s, want %s", id, m.State, want)
		}
	}
}

// A transaction's marker takes an offset and is no record that waits.
func TestLagDoesNotCountTransactionMarkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	client, err := kgo.NewClient(append(b.look.Scanner.Connect, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(b.sink.Name))...)
	b.must(err)
	defer client.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		b.must(client.BeginTransaction())
		b.must(client.ProduceSync(b.ctx, &kgo.Record{Topic: b.sink.Source, Partition: 1}).FirstErr())
		b.must(client.EndTransaction(b.ctx, end))
	}
	for next, want := range []int64{1, 0} {
		b.settle(b.sink, b.sink.Source, int64(next))
		lags, err := b.look.Lag(b.ctx, lookup.LagBudget())
		b.must(err)
		if lags[0].Live != want {
			t.Errorf("settled up to %d: live %d, want %d", next, lags[0].Live, want)
		}
	}
}
