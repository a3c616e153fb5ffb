package record

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
)

func refused() *Envelope {
	e := Read(&kgo.Record{
		Topic: "crm.invoice.v1", Partition: 3, Offset: 4711, Key: []byte("cus_1"), Value: []byte("v"), Timestamp: time.UnixMilli(1000),
		Headers: []kgo.RecordHeader{{Key: "kafka_dlt-original-topic", Value: []byte("of another dead letter")}, {Key: "ce_id", Value: []byte("e1")}},
	}, FromProducer)
	e.Sink, e.Spent = "stripe-invoices", 4
	e.Fail(holdfast.Failure{Class: holdfast.ClassValidation, Code: "card_declined", Status: 402, Err: errDeclined}, time.UnixMilli(2000))
	return e
}

// TestCompatHeadersAreWhatTheirToolsWrite: names and encodings of each family,
// as in their sources; every header once.
func TestCompatHeadersAreWhatTheirToolsWrite(t *testing.T) {
	t.Parallel()
	families := map[Compat]map[string]string{
		Connect: {
			"__connect.errors.topic": "crm.invoice.v1", "__connect.errors.partition": "3", "__connect.errors.offset": "4711",
			"__connect.errors.connector.name": "stripe-invoices", "__connect.errors.task.id": "0", "__connect.errors.stage": "TASK_PUT",
			"__connect.errors.class.name": "holdfast", "__connect.errors.exception.class.name": "holdfast.validation",
			"__connect.errors.exception.message": "card_declined: declined",
		},
		Spring: {
			"kafka_dlt-original-topic": "crm.invoice.v1", "kafka_dlt-original-partition": "\x00\x00\x00\x03",
			"kafka_dlt-original-offset":    "\x00\x00\x00\x00\x00\x00\x12\x67",
			"kafka_dlt-original-timestamp": "\x00\x00\x00\x00\x00\x00\x03\xe8", "kafka_dlt-original-timestamp-type": "CreateTime",
			"kafka_dlt-original-consumer-group": "holdfast.stripe-invoices", "kafka_dlt-exception-fqcn": "holdfast.validation",
			"kafka_dlt-exception-message": "card_declined: declined", "retry_topic-attempts": "\x00\x00\x00\x04",
		},
		Streams: {
			"__streams.errors.exception": "holdfast.validation", "__streams.errors.message": "card_declined: declined",
			"__streams.errors.topic": "crm.invoice.v1", "__streams.errors.partition": "3", "__streams.errors.offset": "4711",
		},
	}
	plain := len(refused().ToDeadLetters("dlq.s", 3, 1, "g").Headers)
	for _, family := range Families() {
		e := refused()
		r := e.ToDeadLetters("dlq.stripe-invoices", 3, 1, "holdfast.stripe-invoices")
		e.AddCompat(r, "holdfast.stripe-invoices", []Compat{family})
		for name, want := range families[family] {
			if got, n := header(r, name); got != want || n != 1 {
				t.Errorf("%s: got %q (%d times), want %q", name, got, n, want)
			}
		}
		if family == Spring { // one of its headers came with the record, and was replaced
			plain--
		}
		if got := len(r.Headers) - plain; got != len(families[family]) {
			t.Errorf("%s: %d headers, want %d", family, got, len(families[family]))
		}
		if family == Spring {
			plain++
		}
		if _, n := header(r, "__dlq.errors.topic"); n != 1 {
			t.Errorf("%s: Kafka's own header is there %d times", family, n)
		}
	}
}

// TestCompatHeadersDoNotGrow over redrives, and fit what topics allow.
func TestCompatHeadersDoNotGrow(t *testing.T) {
	t.Parallel()
	var sizes []int
	e := refused()
	for range 4 {
		e.Fail(holdfast.Failure{Class: holdfast.ClassSchema, Code: "c", Err: verbose(strings.Repeat("ä", 10_000))}, time.UnixMilli(1<<44))
		r := e.ToDeadLetters("dlq.s", 1, 1, "g")
		before := size(r)
		e.AddCompat(r, "g", Families())
		if added := size(r) - before; added > 4<<10 {
			t.Errorf("added %d bytes", added)
		}
		if stage, _ := header(r, "__connect.errors.stage"); stage != "VALUE_CONVERTER" {
			t.Errorf("stage %s", stage)
		}
		sizes = append(sizes, size(r))
		e = Read(landed(Read(landed(r), FromHoldfast).ToRedrive("redrive.s", Redrive{Job: "j", Count: 1, By: "a"})), FromHoldfast)
		e.Hop = 1
	}
	if slices.Max(sizes[1:]) > slices.Min(sizes[1:])+2 {
		t.Errorf("headers grow: %v", sizes)
	}
}

func size(r *kgo.Record) int {
	n := 0
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}
