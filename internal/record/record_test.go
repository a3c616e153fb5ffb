package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"holdfast.internal"
)

func header(r *kgo.Record, name string) (string, int) {
	value, n := "", 0
	for _, h := range r.Headers {
		if h.Key == name {
			value = string(h.Value)
			n++
		}
	}
	return value, n
}

// landed is a record as a consumer reads it at offset 9 of where it was sent.
func landed(r *kgo.Record) *kgo.Record {
	copied := *r
	copied.Offset = 9
	copied.Headers = slices.Clone(r.Headers)
	return &copied
}

// TestIdentity follows design §11: our header, else ce_source/ce_id, else
// ce_id, else the coordinates.
func TestIdentity(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		headers map[string]string
		want    string
	}{
		"nothing":                       {nil, "t.v1-2@7"},
		"CloudEvents id":                {map[string]string{"ce_id": "e1"}, "e1"},
		"CloudEvents id and source":     {map[string]string{"ce_id": "e1", "ce_source": "crm"}, "crm/e1"},
		"a source without an id":        {map[string]string{"ce_source": "crm"}, "t.v1-2@7"},
		"ours before CloudEvents":       {map[string]string{"ce_id": "e1", "holdfast.event-id": "mine"}, "mine"},
		"ours, empty, counts as absent": {map[string]string{"ce_id": "e1", "holdfast.event-id": ""}, "e1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &kgo.Record{Topic: "t.v1", Partition: 2, Offset: 7}
			for k, v := range test.headers {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
			}
			if got := Read(r, FromProducer).Event.ID; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestForgedHeaders: on a topic that producers write, of all our headers only
// the event id and the parent are believed, and none is left among the event's own.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	r := &kgo.Record{Topic: "t.v1", Partition: 2, Offset: 7, Value: []byte("v"), Timestamp: time.UnixMilli(1000)}
	for _, h := range []struct{ name, value string }{
		{HeaderOrigin, "other-1@1"},
		{HeaderOriginTime, "5"},
		{HeaderParent, "up.v1-0@3"},
		{HeaderHop, "7"},
		{HeaderEpoch, "7"},
		{HeaderGeneration, "7"},
		{HeaderSink, "s"},
		{HeaderAttempt, "7"},
		{HeaderDue, "99999999999999"},
		{HeaderFirstAttempt, "5"},
		{HeaderFirstFailed, "5"},
		{HeaderLastFailed, "5"},
		{HeaderAttempts, `[{"ms":1}]`},
		{HeaderRequest, "zx"},
		{HeaderProgress, "p"},
		{HeaderClass, "auth"},
		{HeaderCode, "c"},
		{HeaderStatus, "500"},
		{HeaderRequestID, "r"},
		{HeaderDetail, "d"},
		{HeaderFingerprint, "f"},
		{HeaderRedrive, "job=j;count=3;by=eve"},
		{HeaderTraceLink, "l"},
		{"holdfast.invented", "x"},
		{HeaderEventID, "mine"},
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.name, Value: []byte(h.value)})
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "own", Value: []byte("1")})
	got := Read(r, FromProducer)
	at := holdfast.Coordinates{Topic: "t.v1", Partition: 2, Offset: 7}
	want := Envelope{
		Event: holdfast.Event{
			ID: "mine", Origin: at, Parent: holdfast.Coordinates{Topic: "up.v1", Offset: 3}, Time: time.UnixMilli(1000),
			Headers: []holdfast.Header{{Name: "own", Value: []byte("1")}},
		},
		Payload: []byte("v"), At: at,
	}
	if !equal(got, &want) {
		t.Errorf("got %+v", got)
	}
}

func equal(a, b *Envelope) bool {
	h := func(x, y holdfast.Header) bool { return x.Name == y.Name && bytes.Equal(x.Value, y.Value) }
	return a.Event.ID == b.Event.ID && a.Event.Origin == b.Event.Origin && a.Event.Parent == b.Event.Parent &&
		a.Event.Time.Equal(b.Event.Time) && bytes.Equal(a.Event.Key, b.Event.Key) && (a.Event.Key == nil) == (b.Event.Key == nil) &&
		slices.EqualFunc(a.Event.Headers, b.Event.Headers, h) &&
		bytes.Equal(a.Payload, b.Payload) && (a.Payload == nil) == (b.Payload == nil) && a.Sink == b.Sink && a.Hop == b.Hop && a.Epoch == b.Epoch &&
		a.Generation == b.Generation && a.Spent == b.Spent && a.Due.Equal(b.Due) && a.FirstAttempt.Equal(b.FirstAttempt) &&
		a.FirstFailed.Equal(b.FirstFailed) && a.LastFailed.Equal(b.LastFailed) &&
		a.Failure.Class == b.Failure.Class && a.Failure.Code == b.Failure.Code && a.Failure.Status == b.Failure.Status &&
		a.Failure.RequestID == b.Failure.RequestID && bytes.Equal(a.Frozen, b.Frozen) && bytes.Equal(a.Progress, b.Progress) &&
		a.Redrive == b.Redrive && len(a.Attempts) == len(b.Attempts)
}

// envelope draws any envelope that our own code makes.
func envelope(t *rapid.T) *Envelope {
	millis := func(name string) time.Time {
		if rapid.Bool().Draw(t, name+" set") {
			return time.UnixMilli(rapid.Int64Range(1, 1<<45).Draw(t, name))
		}
		return time.Time{}
	}
	number := rapid.IntRange(0, 1<<31-1)
	plain := rapid.StringMatching(`[a-z0-9_.-]{0,20}`)
	some := rapid.SliceOfN(rapid.Byte(), 0, 50)
	at := holdfast.Coordinates{Topic: "crm.invoice.v1", Partition: rapid.Int32Min(0).Draw(t, "partition"), Offset: rapid.Int64Min(0).Draw(t, "offset")}
	e := &Envelope{
		Event: holdfast.Event{
			ID: "id" + rapid.String().Draw(t, "id"), Origin: at, Time: time.UnixMilli(rapid.Int64Range(1, 1<<45).Draw(t, "time")),
			Key: rapid.SampledFrom([][]byte{nil, {}, []byte("k"), {0xff, 0}}).Draw(t, "key"),
		},
		Payload: rapid.SampledFrom([][]byte{nil, {}, []byte("v"), {0, 0, 0, 0, 1, 2}}).Draw(t, "payload"),
		At:      at,
		Sink:    plain.Draw(t, "sink"), Hop: rapid.IntRange(0, 1<<31-2).Draw(t, "hop"), Epoch: rapid.Int32Min(0).Draw(t, "epoch"),
		Generation: number.Draw(t, "generation"), Spent: number.Draw(t, "spent"),
		Due: millis("due"), FirstAttempt: millis("first attempt"), FirstFailed: millis("first failed"), LastFailed: millis("last failed"),
		Frozen: Freeze(some.Draw(t, "request")), Progress: some.Draw(t, "progress"),
	}
	if rapid.Bool().Draw(t, "made by a processor") {
		e.Event.Parent = at
	}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		e.Event.Headers = append(e.Event.Headers, holdfast.Header{Name: "own." + plain.Draw(t, "name"), Value: some.Draw(t, "value")})
	}
	if rapid.Bool().Draw(t, "failed") {
		e.Failure = holdfast.Failure{
			Class: rapid.SampledFrom(holdfast.Classes()).Draw(t, "class"), Code: plain.Draw(t, "code"),
			Status: rapid.IntRange(0, 599).Draw(t, "status"), RequestID: plain.Draw(t, "request id"),
		}
	}
	if n := rapid.IntRange(0, 3).Draw(t, "redrives"); n > 0 {
		e.Redrive = Redrive{Job: plain.Draw(t, "job"), Count: n, By: plain.Draw(t, "by")}
	}
	return e
}

// TestRoundTrip: what is written for the next hop is what the next hop reads,
// but for the hop and the epoch; value bytes and key never change.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := envelope(t)
		epoch := rapid.Int32Min(0).Draw(t, "next epoch")
		got := Read(landed(e.To("retry.s.1m", 3, epoch)), FromHoldfast)
		want := *e
		want.Hop, want.Epoch = e.Hop+1, epoch
		if !equal(got, &want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, &want)
		}
		if got.At != (holdfast.Coordinates{Topic: "retry.s.1m", Partition: 3, Offset: 9}) {
			t.Fatalf("lies at %s", got.At)
		}
	})
}

// TestHeadersAreSetOnce: however often a record moves, each of our headers is
// there once, and the headers do not grow.
func TestHeadersAreSetOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := envelope(t)
		e.Hop = 0
		var sizes []int
		for hop := range 6 {
			e.Fail(holdfast.Failure{Class: holdfast.ClassTimeout}, time.UnixMilli(1<<44))
			var r *kgo.Record
			if hop%2 == 0 {
				r = landed(e.ToDeadLetters("dlq.s", 1, 5, "holdfast.s"))
			} else {
				r = landed(e.ToRedrive("redrive.s", Redrive{Job: "j", Count: 1, By: "a"}))
			}
			seen := map[string]bool{}
			size := 0
			for _, h := range r.Headers {
				if seen[h.Key] && (strings.HasPrefix(h.Key, ownPrefix) || strings.HasPrefix(h.Key, dlqPrefix)) {
					t.Fatalf("%s twice", h.Key)
				}
				seen[h.Key] = true
				size += len(h.Key) + len(h.Value)
			}
			sizes = append(sizes, size)
			e = Read(r, FromHoldfast)
		}
		if sizes[4] > sizes[2]+2 || sizes[5] > sizes[3]+2 {
			t.Fatalf("headers grow: %v", sizes)
		}
	})
}

// TestDeadLetterSaysAll: a dead letter has what any tool for Kafka's own dead
// letters reads, and what ours need.
func TestDeadLetterSaysAll(t *testing.T) {
	t.Parallel()
	e := Read(&kgo.Record{
		Topic: "crm.invoice.v1", Partition: 3, Offset: 4711, Key: []byte("cus_1"), Value: []byte{0, 0, 0, 0, 5, 1}, Timestamp: time.UnixMilli(1000),
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("e1")}, {Key: "traceparent", Value: []byte("00-aa-bb-01")}},
	}, FromProducer)
	e.Sink, e.Spent = "stripe-invoices", 4
	e.Fail(holdfast.Failure{
		Class: holdfast.ClassValidation, Code: "card_declined", Status: 402, RequestID: "req_1", Detail: strings.Repeat("ä", MaxDetail), Err: errDeclined,
	}, time.UnixMilli(2000))
	r := e.ToDeadLetters("dlq.stripe-invoices", 3, 7, "holdfast.stripe-invoices")
	for name, want := range map[string]string{
		"__dlq.errors.topic": "crm.invoice.v1", "__dlq.errors.partition": "3", "__dlq.errors.offset": "4711",
		"__dlq.errors.group": "holdfast.stripe-invoices", "__dlq.errors.delivery.count": "4", "__dlq.errors.message": "declined",
		"holdfast.origin": "crm.invoice.v1-3@4711", "holdfast.origin.ts": "1000", "holdfast.event-id": "e1", "holdfast.sink": "stripe-invoices",
		"holdfast.error.class": "validation", "holdfast.error.code": "card_declined", "holdfast.error.status": "402", "holdfast.error.request-id": "req_1",
		"holdfast.first-failed": "2000", "holdfast.last-failed": "2000", "holdfast.hop": "1", "holdfast.epoch": "7", "holdfast.attempt": "4",
		"ce_id": "e1", "traceparent": "00-aa-bb-01",
	} {
		if got, n := header(r, name); got != want || n != 1 {
			t.Errorf("%s: got %q (%d times), want %q", name, got, n, want)
		}
	}
	if !r.Timestamp.IsZero() {
		t.Errorf("timestamp %s: retention counts from the time of writing", r.Timestamp)
	}
	detail, _ := header(r, HeaderDetail)
	if len(detail) > MaxDetail || !utf8.ValidString(detail) || detail == "" {
		t.Errorf("detail of %d bytes", len(detail))
	}
	if _, n := header(r, HeaderDue); n != 0 {
		t.Error("a dead letter is never due")
	}
	if f, _ := header(r, HeaderFingerprint); len(f) != 12 || strings.Trim(f, "0123456789abcdef") != "" {
		t.Errorf("fingerprint %q", f)
	}
}

type declined struct{}

func (declined) Error() string { return "declined" }

var errDeclined error = declined{}

// TestFingerprint: one cause, one group; another cause, another.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	letter := func(change func(*Envelope)) string {
		e := &Envelope{Event: holdfast.Event{Origin: holdfast.Coordinates{Topic: "t", Offset: 1}}, Payload: []byte{0, 0, 0, 0, 5}, Sink: "s"}
		e.Failure = holdfast.Failure{Class: holdfast.ClassValidation, Code: "c", Status: 400}
		e.Message = "no such customer cus_17 in line 3"
		change(e)
		f, _ := header(e.ToDeadLetters("dlq.s", 0, 0, "g"), HeaderFingerprint)
		return f
	}
	base := letter(func(*Envelope) {})
	same := map[string]func(*Envelope){
		"another record":               func(e *Envelope) { e.Event.ID = "other" },
		"another id in the message":    func(e *Envelope) { e.Message = "no such customer cus_99 in line 12" },
		"another payload, same schema": func(e *Envelope) { e.Payload = []byte{0, 0, 0, 0, 5, 9} },
		"another time and origin":      func(e *Envelope) { e.Event.Origin.Offset = 5; e.FirstFailed = time.UnixMilli(1) },
	}
	for name, change := range same {
		if letter(change) != base {
			t.Errorf("%s: another group", name)
		}
	}
	for name, change := range map[string]func(*Envelope){
		"another sink": func(e *Envelope) { e.Sink = "t" }, "another class": func(e *Envelope) { e.Failure.Class = holdfast.ClassAuth },
		"another status": func(e *Envelope) { e.Failure.Status = 404 }, "another code": func(e *Envelope) { e.Failure.Code = "d" },
		"another schema": func(e *Envelope) { e.Payload = []byte{0, 0, 0, 0, 6} }, "another message": func(e *Envelope) { e.Message = "no such price" },
	} {
		if letter(change) == base {
			t.Errorf("%s: the same group", name)
		}
	}
}

// TestRedrive: attempts start anew; key, identity, origin, the time of the
// first attempt and the frozen request stay; the trace becomes a link.
func TestRedrive(t *testing.T) {
	t.Parallel()
	e := Read(&kgo.Record{Topic: "t.v1", Partition: 1, Offset: 2, Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte("e")}, {Key: "traceparent", Value: []byte("00-old")}, {Key: "tracestate", Value: []byte("x=y")}, {Key: "own", Value: []byte("1")},
	}}, FromProducer)
	e.Spent, e.FirstAttempt, e.Generation, e.Frozen, e.Progress = 4, time.UnixMilli(500), 2, Freeze([]byte("request")), []byte("p")
	e.Fail(holdfast.Failure{Class: holdfast.ClassVendor5xx, Status: 500}, time.UnixMilli(900))
	letter := Read(landed(e.ToDeadLetters("dlq.s", 1, 3, "g")), FromHoldfast)
	r := letter.ToRedrive("redrive.s", Redrive{Job: "rd-1", Count: 1, By: "ana"})
	again := Read(landed(r), FromHoldfast)
	if again.Spent != 0 || again.Hop != 2 || again.Redrive != (Redrive{Job: "rd-1", Count: 1, By: "ana"}) || !again.Due.IsZero() {
		t.Errorf("redriven as %+v", again)
	}
	if again.Event.ID != "e" || again.Event.Origin != e.Event.Origin || string(again.Event.Key) != "k" || string(again.Payload) != "v" ||
		!again.FirstAttempt.Equal(e.FirstAttempt) || again.Generation != 2 || !bytes.Equal(again.Frozen, e.Frozen) || string(again.Progress) != "p" {
		t.Errorf("lost something: %+v", again)
	}
	if r.Partition != 1 {
		t.Errorf("partition %d", r.Partition)
	}
	if link, _ := header(r, HeaderTraceLink); link != "00-old" || again.Event.Header("traceparent") != "" || again.Event.Header("tracestate") != "" || again.Event.Header("own") != "1" {
		t.Errorf("trace link %q, headers %v", link, again.Event.Headers)
	}
	if again.Copy() == letter.Copy() || again.Copy() == e.Copy() {
		t.Error("a copy is told from another by origin, redrive and hop")
	}
}

// TestBudget: what we add to a record fits the headroom of its topics,
// whatever a producer called its event and a vendor answered.
func TestBudget(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	given := []kgo.RecordHeader{{Key: "ce_id", Value: []byte(long)}, {Key: "ce_source", Value: []byte(long)}}
	e := Read(&kgo.Record{Topic: strings.Repeat("t", 200), Partition: 1<<31 - 1, Offset: 1<<63 - 1, Value: []byte("v"), Headers: given}, FromProducer)
	e.Sink, e.Hop, e.Generation, e.Spent = strings.Repeat("s", 200), 1<<30, 1<<30, 1<<30
	e.Event.Parent, e.FirstAttempt, e.Redrive = e.Event.Origin, time.Now(), Redrive{Job: "rd-12345678", Count: 1, By: "somebody@example.com"}
	for range 50 {
		e.Attempts = e.Attempts.Add(Entry{Time: time.Now(), Tier: "1m", Class: holdfast.ClassRateLimited, Status: 503, Code: long, RequestID: long, Millis: 1 << 60})
	}
	e.Progress = noise(MaxProgress)
	e.Fail(holdfast.Failure{Class: holdfast.ClassContract, Code: long, Status: 500, RequestID: long, Detail: long, Err: verbose(long)}, time.Now())
	for name, test := range map[string]struct {
		frozen Frozen
		limit  int
	}{
		"with a request":   {append(Frozen{frozenWhole}, noise(MaxRequest-1)...), Headroom},
		"besides requests": {nil, 16 << 10},
	} {
		e.Frozen = test.frozen
		size := 0
		for _, h := range e.ToDeadLetters("dlq.s", 0, 1, "holdfast.s").Headers {
			if !strings.HasPrefix(h.Key, "ce_") {
				size += len(h.Key) + len(h.Value) + 10
			}
		}
		if size > test.limit {
			t.Errorf("%s: headers of %d bytes, allowed are %d", name, size, test.limit)
		}
	}
}

type verbose string

func (v verbose) Error() string { return string(v) }

// TestLongIdentities stay apart though they are cut to a hash, and stay as
// they are on the next hop.
func TestLongIdentities(t *testing.T) {
	t.Parallel()
	read := func(id string) *Envelope {
		return Read(&kgo.Record{Topic: "t", Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}}}, FromProducer)
	}
	long := strings.Repeat("x", MaxID)
	a, b := read(long+"a"), read(long+"b")
	if a.Event.ID == b.Event.ID || len(a.Event.ID) > MaxID {
		t.Errorf("%q and %q", a.Event.ID, b.Event.ID)
	}
	if next := Read(landed(a.To("retry.s.1m", 0, 0)), FromHoldfast); next.Event.ID != a.Event.ID {
		t.Errorf("%q became %q", a.Event.ID, next.Event.ID)
	}
	if got := read(long).Event.ID; got != long {
		t.Errorf("an id of %d bytes became %q", MaxID, got)
	}
}

func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestHistory keeps the first and the last seven, within its bytes.
func TestHistory(t *testing.T) {
	t.Parallel()
	var h History
	for i := range 20 {
		before := slices.Clone(h)
		next := h.Add(Entry{Time: time.UnixMilli(int64(i + 1)), Millis: int64(i)})
		if !slices.Equal(h, before) {
			t.Fatal("an earlier history was changed")
		}
		h = next
	}
	var kept []int64
	for _, e := range readHistory(h.encode()) {
		kept = append(kept, e.Millis)
	}
	if want := []int64{0, 13, 14, 15, 16, 17, 18, 19}; !slices.Equal(kept, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		var h History
		for range rapid.IntRange(0, 12).Draw(t, "n") {
			h = h.Add(Entry{Time: time.UnixMilli(1), Tier: rapid.StringN(0, 200, 2000).Draw(t, "tier"), Code: rapid.StringN(0, 500, 5000).Draw(t, "code")})
		}
		if b := h.encode(); len(b) > MaxAttempts {
			t.Fatalf("%d bytes", len(b))
		}
		if len(h) > 1+lastKept {
			t.Fatalf("%d entries", len(h))
		}
	})
}

// TestFrozen: a request comes back whole, or as the hash of what it was.
func TestFrozen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		request := rapid.SliceOfN(rapid.Byte(), 1, 500).Draw(t, "request")
		got, sum := Freeze(request).Thaw()
		if !bytes.Equal(got, request) || sum != nil {
			t.Fatalf("thawed %x, %x", got, sum)
		}
	})
	large := noise(MaxRequest + 100)
	got, sum := Freeze(large).Thaw()
	if want := sha256.Sum256(large); got != nil || !bytes.Equal(sum, want[:]) {
		t.Errorf("a large one: %d bytes, sum %x", len(got), sum)
	}
	if f := Freeze(nil); f != nil {
		t.Errorf("nothing froze to %x", f)
	}
}

// TestBombs: a header that inflates beyond the bound gives nothing, and takes
// little memory (P11).
func TestBombs(t *testing.T) {
	t.Parallel()
	bomb := Freeze(bytes.Repeat([]byte{0}, maxThawed))
	if bomb[0] != frozenWhole {
		t.Fatal("the largest request is not kept whole")
	}
	if request, _ := bomb.Thaw(); len(request) != maxThawed {
		t.Errorf("%d bytes", len(request))
	}
	if f := Freeze(bytes.Repeat([]byte{0}, maxThawed+1)); f[0] != frozenSum {
		t.Error("a request beyond the bound was kept whole")
	}
	for name, f := range map[string]Frozen{"garbage": Frozen("zzzz"), "short sum": Frozen("s1"), "unknown": Frozen("q"), "only a mark": Frozen("z")} {
		if request, sum := f.Thaw(); len(request) > 0 || sum != nil {
			t.Errorf("%s thawed to %x, %x", name, request, sum)
		}
	}
}

// FuzzRead: whatever a header holds, on any topic, reading neither fails nor
// believes it where it must not, and what was read can be written and read again.
func FuzzRead(f *testing.F) {
	f.Add("holdfast.origin", []byte("a-1@2"), "holdfast.attempts", []byte(`[{"time":"2026-01-01T00:00:00Z"}]`), []byte{0, 0, 0, 0, 1}, true)
	f.Add("holdfast.hop", []byte("99999999999999999999"), "holdfast.redrive", []byte("job=;count=-1;by=;;=;count=5"), []byte(nil), true)
	f.Add("holdfast.request", []byte("z\x00\xff"), "holdfast.error.class", []byte("no such"), []byte("x"), false)
	f.Add("holdfast.event-id", []byte{0xff, 0xfe}, "ce_id", []byte("e"), []byte("x"), false)
	f.Add("holdfast.due", binary.BigEndian.AppendUint64(nil, 5), "holdfast.origin", []byte("-@"), []byte("x"), true)
	f.Add("__dlq.errors.message", []byte("m"), "holdfast.origin.ts", []byte("-5"), []byte("x"), true)
	f.Fuzz(func(t *testing.T, name1 string, value1 []byte, name2 string, value2, payload []byte, ours bool) {
		r := &kgo.Record{Topic: "t.v1", Partition: 1, Offset: 2, Value: payload, Timestamp: time.UnixMilli(7), Headers: []kgo.RecordHeader{
			{Key: name1, Value: value1}, {Key: name2, Value: value2}, {Key: name1, Value: value2},
		}}
		e := Read(r, Trust(ours))
		e.Frozen.Thaw()
		if e.Event.ID == "" || e.Event.Origin.IsZero() {
			t.Fatalf("no identity: %+v", e)
		}
		if e.Hop < 0 || e.Spent < 0 || e.Generation < 0 || e.Redrive.Count < 0 || e.Failure.Status < 0 || len(e.Attempts) > 2*MaxAttempts {
			t.Fatalf("out of bounds: %+v", e)
		}
		if !ours && (e.Event.Origin != e.At || e.Hop != 0 || e.Spent != 0 || e.Sink != "" || e.Frozen != nil || e.Redrive != (Redrive{}) || e.Failure.Class != "" || e.Attempts != nil) {
			t.Fatalf("believed a producer: %+v", e)
		}
		for _, h := range e.Event.Headers {
			if strings.HasPrefix(h.Name, ownPrefix) {
				t.Fatalf("%s is among the event's own headers", h.Name)
			}
		}
		if !bytes.Equal(e.Payload, payload) {
			t.Fatal("the payload changed")
		}
		again := Read(landed(e.ToDeadLetters("dlq.s", 1, 1, "g")), FromHoldfast)
		if again.Event.ID != e.Event.ID || again.Event.Origin != e.Event.Origin || again.Spent != e.Spent || again.Generation != e.Generation || !bytes.Equal(again.Payload, payload) {
			t.Fatalf("written and read again: %+v, was %+v", again, e)
		}
		if again.Hop != e.Hop+1 && e.Hop < 1<<31-1 {
			t.Fatalf("hop %d after %d", again.Hop, e.Hop)
		}
	})
}
