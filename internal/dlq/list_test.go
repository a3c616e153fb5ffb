package dlq_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
)

func TestListShowsTheFieldsThatScriptsRelyOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("cust_44", 7))
	letters := b.list(dlq.ListOptions{})
	if len(letters) != 1 {
		t.Fatalf("got %d letters", len(letters))
	}
	text, err := json.Marshal(letters[0])
	b.must(err)
	var fields map[string]any
	b.must(json.Unmarshal(text, &fields))
	want := map[string]any{
		"state": "open", "topic": b.box.Target.Letters(), "partition": 1.0, "offset": 0.0, "key": "cust_44",
		"event_id": "crm/inv_7", "origin": "billing.v1-1@7", "sink": b.box.Target.Name, "class": "validation",
		"status": 400.0, "code": "card_declined", "detail": "declined", "attempts": 4.0,
		"first_failed": "2023-11-14T22:13:21Z", "last_failed": "2023-11-14T22:13:21Z", "due": nil, "redrives": 0.0,
	}
	for name, value := range want {
		if fields[name] != value {
			t.Errorf("%s = %v, want %v", name, fields[name], value)
		}
	}
	if f, _ := fields["fingerprint"].(string); len(f) != 12 {
		t.Errorf("fingerprint = %q", f)
	}
	if len(fields) != len(want)+1 {
		t.Errorf("%d fields, want %d: %s", len(fields), len(want)+1, text)
	}
}

func TestListShowsWhatIsNoneOfOurs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic := b.box.Target.Letters()
	garbage := []kgo.RecordHeader{
		{Key: record.HeaderOrigin, Value: []byte("\xff\xfe@@")},
		{Key: record.HeaderHop, Value: []byte("-999999999999999999999")},
		{Key: record.HeaderRedrive, Value: []byte(";;==;count=x")},
		{Key: record.HeaderAttempts, Value: []byte("[[[[")},
		{Key: record.HeaderClass, Value: []byte("no such class")},
		{Key: record.HeaderStatus, Value: []byte("1e9")},
		{Key: record.HeaderRequest, Value: []byte("z\x00\x01")},
		{Key: "", Value: nil},
	}
	b.write(
		&kgo.Record{Topic: topic, Partition: 1, Key: []byte{0xff, 0xfe}, Value: []byte("garbage"), Headers: garbage},
		&kgo.Record{Topic: topic, Partition: 1, Value: []byte("no header at all")},
		&kgo.Record{Topic: topic, Partition: 2, Key: []byte("k")},
	)
	letters := b.list(dlq.ListOptions{})
	if len(letters) != 3 {
		t.Fatalf("got %d letters, want 3: %+v", len(letters), letters)
	}
	if k := letters[0].Key; k == nil || *k != "fffe" {
		t.Errorf("key that is no UTF-8 = %v, want hex", k)
	}
	if letters[1].Key != nil {
		t.Errorf("no key = %q, want null", *letters[1].Key)
	}
	for _, l := range letters {
		if l.Class != "unknown" || l.Origin != l.Coordinates().String() || l.Sink != b.box.Target.Name {
			t.Errorf("%+v", l)
		}
		if _, err := b.box.Show(b.ctx, l.Coordinates(), false, ""); err != nil {
			t.Errorf("show: %v", err)
		}
	}
}

func TestListTreatsEqualCopiesAsOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	again := func(e *record.Envelope) { e.Redrive = record.Redrive{Job: "rd-0", Count: 1} }
	b.bury(b.letter("k", 7), b.letter("k", 7), b.letter("k", 7, again), b.letter("k", 8))
	if got := offsetsOf(b.list(dlq.ListOptions{})); !slices.Equal(got, []int64{0, 2, 3}) {
		t.Errorf("offsets %v, want 0, 2 and 3: the second is a copy of the first, the third a letter after a redrive", got)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	late := time.UnixMilli(1_700_000_100_000)
	hex := "fffe"
	other := func(e *record.Envelope) {
		e.Event.Key = []byte{0xff, 0xfe}
		e.Fail(holdfast.Failure{Class: holdfast.ClassVendor5xx, Status: 503}, late)
	}
	b.bury(b.letter("cust_44", 1), b.letter("cust_45", 2), b.letter("", 3, other))
	group := b.list(dlq.ListOptions{})[2].Fingerprint
	key := "cust_44"
	for name, c := range map[string]struct {
		filter dlq.Filter
		want   []int64
	}{
		"none":            {dlq.Filter{}, []int64{0, 1, 2}},
		"class":           {dlq.Filter{Class: "vendor_5xx"}, []int64{2}},
		"code":            {dlq.Filter{Code: "card_declined"}, []int64{0, 1}},
		"status":          {dlq.Filter{Status: 503}, []int64{2}},
		"key":             {dlq.Filter{Key: &key}, []int64{0}},
		"key in hex":      {dlq.Filter{Key: &hex}, []int64{2}},
		"group":           {dlq.Filter{Group: group}, []int64{2}},
		"since":           {dlq.Filter{Since: late}, []int64{2}},
		"until":           {dlq.Filter{Until: late}, []int64{0, 1}},
		"since and until": {dlq.Filter{Since: late, Until: late}, nil},
	} {
		if got := offsetsOf(b.list(dlq.ListOptions{Filter: c.filter})); !slices.Equal(got, c.want) {
			t.Errorf("%s: offsets %v, want %v", name, got, c.want)
		}
	}
	if got := offsetsOf(b.list(dlq.ListOptions{Limit: 2})); !slices.Equal(got, []int64{0, 1}) {
		t.Errorf("limit: offsets %v", got)
	}
}

func TestListOfAnEmptyTopicAndOfNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if got := b.list(dlq.ListOptions{}); len(got) != 0 {
		t.Errorf("empty topic: %v", got)
	}
	b.box.Target.Name = "nobody"
	err := b.box.List(b.ctx, dlq.ListOptions{}, func(dlq.Letter) error { return nil })
	if !errors.Is(err, scan.ErrNoTopic) {
		t.Errorf("no topic: %v", err)
	}
}

func offsetsOf(letters []dlq.Letter) []int64 {
	var out []int64
	for i := range letters {
		out = append(out, letters[i].Offset)
	}
	return out
}
