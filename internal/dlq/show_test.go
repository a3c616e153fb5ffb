package dlq_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
)

// opener opens every value as the same JSON, or not at all.
type opener struct {
	value holdfast.Value
	err   error
}

func (o opener) Open(context.Context, string, []byte, []holdfast.Header) (holdfast.Value, error) {
	return o.value, o.err
}

type value struct{ holdfast.Value }

func (value) Schema() string { return "crm.Invoice" }
func (value) JSON() ([]byte, error) {
	return []byte(`{"id":"inv_8812","lines":[{"email":"ana@acme.com"}],"note":null}`), nil
}

type knowing struct{ value }

func (knowing) MaskedJSON() ([]byte, error) { return []byte(`{"id":"inv_8812","email":"***"}`), nil }

func TestShow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wire := func(e *record.Envelope) {
		e.Payload = []byte{0, 0, 0, 0, 31, 1, 2, 3}
		e.Frozen = record.Freeze([]byte("email=ana@acme.com"))
		e.Progress = []byte("cus_of_ana@acme.com")
		e.Attempts = e.Attempts.Add(record.Entry{Class: holdfast.ClassTimeout, Millis: 12})
	}
	b.bury(b.letter("k", 1, wire))
	poison := holdfast.Permanent(holdfast.ClassPoison, "undecodable", errors.New("3 bytes left over"))
	for name, c := range map[string]struct {
		opener dlq.Opener
		reveal bool
		want   string
	}{
		"a value that knows its personal fields":    {opener{value: knowing{}}, false, `{"id":"inv_8812","email":"***"}`},
		"one that does not is masked as a whole":    {opener{value: value{}}, false, `{"id":"***","lines":[{"email":"***"}],"note":null}`},
		"revealed":                                  {opener{value: knowing{}}, true, `{"id":"inv_8812","lines":[{"email":"ana@acme.com"}],"note":null}`},
		"bytes that do not decode are never hidden": {opener{err: poison}, false, `{"reason":"poison undecodable: 3 bytes left over","bytes":8,"hex":"000000001f010203"}`},
		"an id that the registry does not know":     {opener{err: holdfast.Transient(holdfast.ClassSchema, errors.New("unknown"))}, false, `{"reason":"schema: unknown","bytes":8,"hex":"000000001f010203"}`},
		"a registry that does not answer":           {opener{err: &holdfast.UnavailableError{Failure: holdfast.Failure{Class: holdfast.ClassSchema}}}, false, `{"reason":"schema; --reveal shows the bytes","bytes":8}`},
		"a registry out of reach":                   {opener{err: errors.New("dial")}, false, `{"reason":"dial; --reveal shows the bytes","bytes":8}`},
		"a registry out of reach, revealed":         {opener{err: errors.New("dial")}, true, `{"reason":"dial","bytes":8,"hex":"000000001f010203"}`},
		"no registry":                               {nil, false, `{"reason":"no schema registry; --reveal shows the bytes","bytes":8}`},
	} {
		box := *b.box
		box.Values = c.opener
		shown, err := box.Show(b.ctx, b.at(0), c.reveal, "ana")
		b.must(err)
		if string(shown.Value) != c.want {
			t.Errorf("%s: value %s, want %s", name, shown.Value, c.want)
		}
		if shown.Schema == nil || shown.Schema.ID != 31 || shown.Schema.Subject != "billing.v1-value" {
			t.Errorf("%s: schema %+v", name, shown.Schema)
		}
		text, err := json.Marshal(shown)
		b.must(err)
		if leaks := strings.Contains(string(text), "ana@acme.com"); leaks != c.reveal { // P12
			t.Errorf("%s: shows personal data %v: %s", name, leaks, text)
		}
		if len(shown.AttemptsLog) != 1 || shown.Request == nil || shown.Request.Bytes != 18 || shown.Headers["ce_id"] != "inv" {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// I15: who looks at personal data is written down first.
func TestRevealIsAudited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("k", 1))
	_, err := b.box.Show(b.ctx, b.at(0), false, "ana")
	b.must(err)
	if lines := b.audit(); len(lines) != 0 {
		t.Errorf("a masked look is no act: %v", lines)
	}
	_, err = b.box.Show(b.ctx, b.at(0), true, "ana")
	b.must(err)
	lines := b.audit()
	if len(lines) != 1 || !strings.Contains(lines[0], `"act":"reveal"`) || !strings.Contains(lines[0], `"by":"ana"`) {
		t.Errorf("audit %v", lines)
	}
}

func TestShowOfOddRecords(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(&kgo.Record{Topic: b.box.Target.Letters(), Partition: 1, Headers: []kgo.RecordHeader{
		{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "a", Value: []byte{0xff}},
	}})
	shown, err := b.box.Show(b.ctx, b.at(0), false, "")
	b.must(err)
	if string(shown.Value) != "null" {
		t.Errorf("tombstone: %s", shown.Value)
	}
	text, err := json.Marshal(shown.Headers)
	b.must(err)
	if string(text) != `{"a":["1","2","ff"]}` {
		t.Errorf("headers %s", text)
	}
	for name, at := range map[string]holdfast.Coordinates{
		"beyond the end":    b.at(1),
		"no such partition": {Topic: b.box.Target.Letters(), Partition: 99},
		"no such topic":     {Topic: "dlq.nobody"},
	} {
		if _, err := b.box.Show(b.ctx, at, false, ""); !errors.Is(err, dlq.ErrNoLetter) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
