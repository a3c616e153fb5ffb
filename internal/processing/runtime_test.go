package processing

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/internal/record"
	"holdfast.internal/processors"
)

// TestOutputsAreOfTheirInput: ids, parent, key, partition and headers of what
// a processor makes.
func TestOutputsAreOfTheirInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, nil)
	w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	at := w.putRecord(&kgo.Record{Topic: in, Partition: 2, Key: []byte("k"), Value: good("three"), Headers: []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte("e1")},
		{Key: "ce_source", Value: []byte("crm")},
		{Key: "traceparent", Value: []byte("00-ab")},
		{Key: "own", Value: []byte("1")},
		{Key: "own", Value: []byte("2")},
		{Key: "__value_schema_id", Value: []byte("guid")},
	}})
	made := w.read(out, 3, 5*time.Second)
	ids := map[string]string{"1": "crm/e1", "2": "crm/e1/2", "3": "crm/e1/3"}
	expected, err := kgo.NewClient(append(w.opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		t.Fatal(err)
	}
	defer expected.Close()
	for _, r := range made {
		body := string(r.Value[5:])
		if got := header(r, record.HeaderEventID); got != ids[body] {
			t.Errorf("output %s has id %q, want %q", body, got, ids[body])
		}
		if got := header(r, record.HeaderParent); got != at.String() {
			t.Errorf("parent %q, want %q", got, at)
		}
		if want := "k" + body; string(r.Key) != want {
			t.Errorf("key %q, want %q", r.Key, want)
		}
		if got, want := r.Partition, murmur2Partition(r.Key, 3); got != want {
			t.Errorf("key %s lies in partition %d, other clients would put it in %d", r.Key, got, want)
		}
		var names []string
		for _, h := range r.Headers {
			names = append(names, h.Key)
		}
		if got := strings.Join(names, " "); got != "ce_id ce_source traceparent own own holdfast.event-id holdfast.parent" {
			t.Errorf("headers %s", got)
		}
	}
}

// murmur2Partition is what Kafka's Java client computes, written anew.
func murmur2Partition(key []byte, partitions int32) int32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(key))
	data := key
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return int32(h&0x7fffffff) % partitions
}

// TestForgedHeaders: what a producer claims in our headers is not believed, but
// for the event id and the parent, and goes nowhere.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	forged := []kgo.RecordHeader{
		{Key: record.HeaderEventID, Value: []byte("mine")},
		{Key: record.HeaderOrigin, Value: []byte("other.v1-7@99")},
		{Key: record.HeaderOriginTime, Value: []byte("1")},
		{Key: record.HeaderHop, Value: []byte("999")},
		{Key: record.HeaderSink, Value: []byte("stripe")},
		{Key: record.HeaderAttempt, Value: []byte("4")},
		{Key: record.HeaderRedrive, Value: []byte("job=x;count=3;by=eve")},
		{Key: record.HeaderRequest, Value: []byte("zzz")},
		{Key: record.HeaderGeneration, Value: []byte("9")},
		{Key: "__dlq.errors.message", Value: []byte("made up")},
	}
	at := w.putRecord(&kgo.Record{Topic: in, Value: good("x"), Headers: forged})
	bad := w.putRecord(&kgo.Record{Topic: in, Value: good("refuse"), Headers: forged})
	made := w.read(out, 1, 5*time.Second)[0]
	if len(made.Headers) != 2 || header(made, record.HeaderEventID) != "mine" || header(made, record.HeaderParent) != at.String() {
		t.Errorf("output has %v", made.Headers)
	}
	letter := record.Read(w.read(dead, 1, 5*time.Second)[0], record.FromHoldfast)
	if letter.Event.Origin != bad || letter.Hop != 1 || letter.Sink != "p" || letter.Redrive.Count != 0 || letter.Frozen != nil || letter.Generation != 0 || letter.Spent != 0 {
		t.Errorf("dead letter believed the producer: %+v", letter)
	}
	if letter.Event.ID != "mine" || letter.Message != "refused" {
		t.Errorf("id %q, message %q", letter.Event.ID, letter.Message)
	}
}

// TestPoisonHarmsNobody (P8): every kind of bad record is in the dead-letter
// topic, in its partition, and the record behind it passes. That it takes less
// than a second is tested in virtual time.
func TestPoisonHarmsNobody(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value       []byte
		class, code string
	}{
		"garbage":                         {[]byte("not avro"), "poison", "undecodable"},
		"shorter than a prefix":           {[]byte{0, 0, 0}, "poison", "undecodable"},
		"empty":                           {[]byte{}, "poison", "undecodable"},
		"a tombstone":                     {nil, "validation", "tombstone"},
		"refused by the processor":        {good("refuse"), "transform", "refused"},
		"an error that is no verdict":     {good("error"), "transform", ""},
		"makes the processor panic":       {good("panic"), "poison", "panic"},
		"an output larger than its topic": {good("huge 1100000"), "poison", "too_large"},
		"another subject's schema":        {wire(2, "x"), "schema", "foreign_schema"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, nil)
			r := w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{open: refuseSchema})
			w.start(r)
			<-r.Ready()
			w.put(in, 1, good("before"))
			w.read(out, 1, 5*time.Second)
			bad := w.putRecord(&kgo.Record{Topic: in, Partition: 1, Key: []byte("k"), Value: test.value, Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("e")}}})
			w.put(in, 1, good("after"))
			raw := w.read(dead, 1, 20*time.Second)[0]
			if made := w.read(out, 2, 20*time.Second); !slicesEqual(bodies(made), "AFTER", "BEFORE") {
				t.Errorf("outputs %q", bodies(made))
			}
			letter := record.Read(raw, record.FromHoldfast)
			if letter.Event.Origin != bad || raw.Partition != 1 || !bytes.Equal(raw.Value, test.value) || (raw.Value == nil) != (test.value == nil) || string(raw.Key) != "k" {
				t.Errorf("dead letter %+v of %s", raw, bad)
			}
			if letter.Failure.Class != classOf(test.class) || letter.Failure.Code != test.code {
				t.Errorf("class %s code %s", letter.Failure.Class, letter.Failure.Code)
			}
			if letter.Fingerprint == "" || letter.FirstFailed.IsZero() || letter.Event.ID != "e" || letter.Sink != "p" || header(raw, "ce_id") != "e" {
				t.Errorf("dead letter lacks something: %+v", letter)
			}
			if strings.Contains(letter.Message, "4242") {
				t.Errorf("the panic's text leaked: %q", letter.Message) // P12
			}
		})
	}
}

// TestSkippedTombstones pass without a trace.
// TestP8PoisonInANewPartition: the input has grown, and its dead letters have not yet.
func TestP8PoisonInANewPartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, nil)
	if _, err := kadm.NewClient(w.client).CreatePartitions(t.Context(), 2, in); err != nil {
		t.Fatal(err)
	}
	w.client.ForceMetadataRefresh()
	w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	bad := w.putRecord(&kgo.Record{Topic: in, Partition: 3, Value: []byte("not avro")})
	w.put(in, 3, good("after"))
	if made := w.read(out, 1, 10*time.Second); !slicesEqual(bodies(made), "AFTER") {
		t.Errorf("outputs %q", bodies(made))
	}
	raw := w.read(dead, 1, 10*time.Second)[0]
	if letter := record.Read(raw, record.FromHoldfast); letter.Event.Origin != bad || raw.Partition != 1 {
		t.Errorf("the letter of %s lies in partition %d and says %s", bad, raw.Partition, letter.Event.Origin)
	}
}

func TestSkippedTombstones(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	w.start(w.runtime(Config{Instance: "a", SkipTombstones: true}, processors.Func(upper), plain{}))
	w.put(in, 0, nil, good("none"), good("after"))
	w.read(out, 1, 5*time.Second)
	if letters := w.all(dead); len(letters) > 0 {
		t.Errorf("dead letters %v", letters)
	}
}

// TestRedrive: a dead letter that is sent again is processed under its old
// identity, and dies with its history when it is still wrong.
func TestRedrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, nil)
	stop := w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	at := w.putRecord(&kgo.Record{Topic: in, Partition: 1, Value: good("refuse me"), Timestamp: time.Now().Add(-48 * time.Hour)})
	letter := record.Read(w.read(dead, 1, 5*time.Second)[0], record.FromHoldfast)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	mended := processors.Func(func(_ context.Context, ev eventOf) ([]processors.Output, error) {
		return []processors.Output{{Value: ev.ID}}, nil
	})
	again := letter.ToRedrive(redrive, record.Redrive{Job: "rd-1", Count: 1, By: "ana"})
	w.putRecord(again)
	w.start(w.runtime(Config{Instance: "a"}, mended, plain{}))
	made := w.read(out, 1, 5*time.Second)[0]
	if got := header(made, record.HeaderParent); got != at.String() {
		t.Errorf("parent %q, want the origin %s", got, at)
	}
	if got := header(made, record.HeaderEventID); got != at.String() {
		t.Errorf("event id %q, want %s", got, at)
	}
	if age := time.Since(made.Timestamp); age > time.Hour {
		t.Errorf("the output of an old record is %s old and soon deleted", age)
	}
	if made.Key != nil {
		t.Errorf("an output without a key has %q", made.Key)
	}
}

func TestRedrivenAndWrongAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	at := w.putRecord(&kgo.Record{Topic: in, Value: good("refuse me")})
	first := record.Read(w.read(dead, 1, 5*time.Second)[0], record.FromHoldfast)
	w.putRecord(first.ToRedrive(redrive, record.Redrive{Job: "rd-1", Count: 1, By: "ana"}))
	letters := w.read(dead, 2, 5*time.Second)
	second := record.Read(letters[1], record.FromHoldfast)
	if second.Event.Origin != at || second.Redrive.Count != 1 || second.Hop <= first.Hop || second.FirstFailed.Before(first.LastFailed) {
		t.Errorf("second dead letter %+v", second)
	}
}

// TestExactlyOnce (P1, P2): workers are cut off as by SIGKILL and started
// again, some under their name, some without; every event is there once.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, []kfake.Opt{kfake.GroupMinSessionTimeout(time.Second)})
	const events = 4000
	inputs, want := numbered(events)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		for i, v := range inputs {
			w.client.Produce(context.Background(), &kgo.Record{Topic: in, Partition: int32(i % 4), Value: v}, nil)
			if i%200 == 0 {
				_ = w.client.Flush(context.Background())
				pass(20 * time.Millisecond)
			}
		}
		_ = w.client.Flush(context.Background())
	}()
	rng := rand.New(rand.NewPCG(1, 2))
	for kill := range 8 {
		var c cable
		stop := w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}, kgo.Dialer(c.dial)))
		pass(time.Duration(50+rng.IntN(250)) * time.Millisecond)
		if kill%2 == 0 {
			c.pull()
		}
		_ = stop()
	}
	<-fed
	w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	w.read(out, events, 20*time.Second)
	once(t, w.all(out), want)
}

// TestRebalances (P2): workers come and go; nothing is made twice, and what a
// partition's lane held when it moved is made by its new owner.
func TestRebalances(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6, nil)
	const events = 3000
	inputs, want := numbered(events)
	slow := processors.Func(func(ctx context.Context, ev eventOf) ([]processors.Output, error) {
		pass(500 * time.Microsecond)
		return upper(ctx, ev)
	})
	w.start(w.runtime(Config{}, slow, plain{}))
	go func() {
		for i, v := range inputs {
			w.client.Produce(context.Background(), &kgo.Record{Topic: in, Partition: int32(i % 6), Value: v}, nil)
		}
		_ = w.client.Flush(context.Background())
	}()
	for range 3 {
		r := w.runtime(Config{}, slow, plain{})
		stop := w.start(r)
		<-r.Ready()
		pass(150 * time.Millisecond)
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	w.read(out, events, 20*time.Second)
	once(t, w.all(out), want)
}

// TestRestartEndsTheOpenTransaction: a worker that was killed in the middle of
// a transaction, offsets pending, goes on at once under its name.
func TestRestartEndsTheOpenTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	w.put(in, 0, good("a"), good("b"))
	// A predecessor that got as far as the offsets, and no further.
	var c cable
	cut := make(chan struct{})
	w.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.pull()
		close(cut)
		return nil, kerr.UnknownServerError, true
	})
	stop := w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}, kgo.Dialer(c.dial)))
	<-cut
	began := time.Now()
	w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	made := w.read(out, 2, 5*time.Second)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
	_ = stop()
	if got := bodies(made); !slicesEqual(got, "A", "B") {
		t.Errorf("outputs %q", got)
	}
	once(t, w.all(out), []string{"A", "B"})
}

// TestAbortedFirstTransaction: a new processor on a topic that has lost its
// beginning to retention reads it from where it begins now, and again from
// there after its first transaction was aborted.
func TestAbortedFirstTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	w.put(in, 0, good("gone"), good("gone"), good("a"), good("b"))
	deleteBefore(w, 2)
	h := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 1})
	w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	w.read(out, 2, 10*time.Second)
	once(t, w.all(out), []string{"A", "B"})
	if h.Hits() == 0 {
		t.Error("the fault did not happen")
	}
}

// TestBrokerFaults (P1, P2): what a broker may answer in the middle of a
// transaction costs neither a record nor a copy.
func TestBrokerFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]kfake.Fault{
		"produce: not leader":                  {Keys: []kmsg.Key{kmsg.Produce}, Topic: out, Err: kerr.NotLeaderForPartition, Count: 5},
		"produce: too few replicas, after all": {Keys: []kmsg.Key{kmsg.Produce}, Topic: out, Err: kerr.NotEnoughReplicasAfterAppend, Count: 5},
		"produce: not allowed":                 {Keys: []kmsg.Key{kmsg.Produce}, Topic: out, Err: kerr.TopicAuthorizationFailed, Count: 2},
		"produce: too large":                   {Keys: []kmsg.Key{kmsg.Produce}, Topic: out, Err: kerr.MessageTooLarge, Count: 1},
		"produce: epoch":                       {Keys: []kmsg.Key{kmsg.Produce}, Topic: out, Err: kerr.InvalidProducerEpoch, Count: 1},
		"commit: rebalance":                    {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RebalanceInProgress, Count: 3},
		"commit: generation":                   {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 3},
		"commit: unknown member":               {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.UnknownMemberID, Count: 2},
		"commit: coordinator moved":            {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.NotCoordinator, Count: 5},
		"end: unknown error":                   {Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.UnknownServerError, Count: 1},
		"end: coordinator loads":               {Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: 3},
		"end: fenced":                          {Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.ProducerFenced, Count: 1},
		"heartbeat: unknown member":            {Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.UnknownMemberID, Count: 2},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, nil)
			inputs, want := numbered(200)
			h := w.cluster.Fault(fault)
			w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
			for i, v := range inputs {
				w.put(in, int32(i%2), v)
			}
			w.read(out, len(want), 30*time.Second)
			for wait := time.Now(); h.Hits() == 0 && time.Since(wait) < 10*time.Second; {
				pass(50 * time.Millisecond)
			}
			if h.Hits() == 0 {
				t.Error("the fault did not happen")
			}
			w.put(in, 0, good("last"))
			w.read(out, len(want)+1, 30*time.Second)
			once(t, w.all(out), append(want, "LAST"))
		})
	}
}

// TestFencedForGood: of two processes under one name, one gives up.
func TestFencedForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	a := w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{})
	h := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.ProducerFenced, Count: -1})
	defer h.Remove()
	w.put(in, 0, good("x"))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(t.Context()) }()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "another process runs under this instance name") {
			t.Errorf("got %v", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("goes on for ever")
	}
}

// TestSizesFollowTheTopics: what the output topic refuses is a dead letter,
// and the largest input still fits the dead-letter topic.
func TestSizesFollowTheTopics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	set(t, w, out, "20000")
	set(t, w, in, "3000000")
	set(t, w, dead, "3098304")
	w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
	w.put(in, 0, good("huge 30000"), good("refuse "+string(noise(2_900_000))), good("huge 19000"))
	w.read(out, 1, 10*time.Second)
	letters := w.read(dead, 2, 10*time.Second)
	if got := header(letters[0], record.HeaderCode); got != "too_large" {
		t.Errorf("code %q", got)
	}
	if len(letters[1].Value) < 2_900_000 {
		t.Errorf("dead letter of %d bytes", len(letters[1].Value))
	}
}

// deleteBefore drops the beginning of the input's partition 0, as retention does.
func deleteBefore(w *world, offset int64) {
	w.t.Helper()
	var del kadm.Offsets
	del.Add(kadm.Offset{Topic: in, Partition: 0, At: offset})
	if _, err := kadm.NewClient(w.client).DeleteRecords(w.t.Context(), del); err != nil {
		w.t.Fatal(err)
	}
}

func set(t *testing.T, w *world, topic, bytes string) {
	t.Helper()
	if _, err := kadm.NewClient(w.client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, topic); err != nil {
		t.Fatal(err)
	}
}

// noise does not compress.
func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(33 + rng.IntN(90))
	}
	return b
}
