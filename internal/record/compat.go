package record

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
)

// Compat names the error headers of another tool, which a dead letter may
// carry beside ours so that tools made for that one read it.
type Compat string

// The families. Connect and Streams write text; Spring writes numbers in
// binary, big-endian.
const (
	Connect Compat = "connect"
	Spring  Compat = "spring"
	Streams Compat = "streams"
)

// Families lists them.
func Families() []Compat { return []Compat{Connect, Spring, Streams} }

// maxAlias bounds a text in these headers: the whole of it is in ours.
const maxAlias = 512

// AddCompat sets the headers of families on r, a dead letter of e that a group
// wrote. They replace what was there under their names: appended, they would
// grow with every redrive.
func (e *Envelope) AddCompat(r *kgo.Record, group string, families []Compat) {
	var w headerWriter
	for _, family := range families {
		switch family {
		case Connect:
			e.connect(&w)
		case Spring:
			e.spring(&w, group)
		case Streams:
			e.streams(&w)
		}
	}
	r.Headers = slices.DeleteFunc(r.Headers, func(old kgo.RecordHeader) bool {
		return slices.ContainsFunc(w.headers, func(h kgo.RecordHeader) bool { return h.Key == old.Key })
	})
	r.Headers = append(r.Headers, w.headers...)
}

// connect writes what Kafka Connect's DeadLetterQueueReporter does. A sink is
// a connector of one task. Nobody here has a stack trace.
func (e *Envelope) connect(w *headerWriter) {
	const prefix = "__connect.errors."
	w.text(prefix+"topic", e.Event.Origin.Topic)
	w.text(prefix+"partition", strconv.Itoa(int(e.Event.Origin.Partition)))
	w.text(prefix+"offset", strconv.FormatInt(e.Event.Origin.Offset, 10))
	w.text(prefix+"connector.name", e.Sink)
	w.text(prefix+"task.id", "0")
	w.text(prefix+"stage", e.stage())
	w.text(prefix+"class.name", "holdfast")
	w.text(prefix+"exception.class.name", e.exception())
	w.text(prefix+"exception.message", e.said())
}

// stage is where Connect would have failed.
func (e *Envelope) stage() string {
	switch e.Failure.Class {
	case holdfast.ClassSchema, holdfast.ClassPoison:
		return "VALUE_CONVERTER"
	case holdfast.ClassTransform:
		return "TRANSFORMATION"
	default:
		return "TASK_PUT"
	}
}

// spring writes what Spring Kafka's DeadLetterPublishingRecoverer does.
func (e *Envelope) spring(w *headerWriter, group string) {
	const prefix = "kafka_dlt-"
	w.text(prefix+"original-topic", e.Event.Origin.Topic)
	w.bytes(prefix+"original-partition", binary.BigEndian.AppendUint32(nil, uint32(e.Event.Origin.Partition))) //nolint:gosec // a partition number
	w.bytes(prefix+"original-offset", binary.BigEndian.AppendUint64(nil, uint64(e.Event.Origin.Offset)))       //nolint:gosec // an offset
	w.bytes(prefix+"original-timestamp", binary.BigEndian.AppendUint64(nil, uint64(max(0, e.Event.Time.UnixMilli()))))
	w.text(prefix+"original-timestamp-type", "CreateTime")
	w.text(prefix+"original-consumer-group", group)
	w.text(prefix+"exception-fqcn", e.exception())
	w.text(prefix+"exception-message", e.said())
	w.bytes("retry_topic-attempts", binary.BigEndian.AppendUint32(nil, uint32(e.Spent))) //nolint:gosec // a small count
}

// streams writes what Kafka Streams does since KIP-1034.
func (e *Envelope) streams(w *headerWriter) {
	const prefix = "__streams.errors."
	w.text(prefix+"exception", e.exception())
	w.text(prefix+"message", e.said())
	w.text(prefix+"topic", e.Event.Origin.Topic)
	w.text(prefix+"partition", strconv.Itoa(int(e.Event.Origin.Partition)))
	w.text(prefix+"offset", strconv.FormatInt(e.Event.Origin.Offset, 10))
}

// exception stands for the class name that these tools group by.
func (e *Envelope) exception() string {
	class := e.Failure.Class
	if class == "" {
		class = holdfast.ClassUnknown
	}
	return "holdfast." + string(class)
}

// said is the shortest that explains the failure: the vendor's code, if it gave
// one, and what was said of it.
func (e *Envelope) said() string {
	text := e.Message
	if text == "" {
		text = e.Failure.Detail
	}
	if code := e.Failure.Code; code != "" {
		text = code + ": " + text
	}
	return clip(text, maxAlias)
}
