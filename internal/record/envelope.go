// Package record is the envelope of a record on its way through tiers,
// redrive and dead-letter topics: it reads what the headers say and writes
// them for the next hop. Value bytes and keys are never touched.
package record

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
)

// Trust says whose headers are believed.
type Trust bool

// On a topic that producers write, only the event id and the parent are
// believed; tiers, redrive and dead-letter topics are ours alone, by ACL.
const (
	FromProducer Trust = false
	FromHoldfast Trust = true
)

// Envelope is a record with its history. Its Event has no Value yet: the
// bytes in Payload are opened by the registry's serde.
type Envelope struct {
	Event   holdfast.Event
	Payload []byte // wire format; nil for a tombstone
	At      holdfast.Coordinates
	Written time.Time // this copy

	Sink       string // the one destination (or processor) that failed
	Hop        int    // moves so far
	Epoch      int32  // group generation of the last mover
	Generation int    // of the idempotency key
	Spent      int    // attempts spent

	Due          time.Time
	FirstAttempt time.Time // when the idempotency key was first used
	FirstFailed  time.Time
	LastFailed   time.Time

	Failure  holdfast.Failure // the last one
	Message  string           // what Failure's cause said, redacted
	Attempts History
	Frozen   Frozen
	Progress []byte
	Redrive  Redrive
	// Fingerprint groups dead letters of one cause: 12 hex digits.
	Fingerprint string
}

// Redrive says which job sent a dead letter again, and how often that happened.
type Redrive struct {
	Job   string
	Count int
	By    string
}

// Copy identifies one copy of a record: whoever sees two equal ones treats them as one.
type Copy struct {
	Origin  holdfast.Coordinates
	Redrive int
	Hop     int
}

// Copy returns the identity of this copy.
func (e *Envelope) Copy() Copy {
	return Copy{Origin: e.Event.Origin, Redrive: e.Redrive.Count, Hop: e.Hop}
}

// Read opens the envelope of r. It never fails: a header that does not parse
// counts as absent.
func Read(r *kgo.Record, trust Trust) *Envelope {
	e := &Envelope{
		Payload: r.Value,
		At:      holdfast.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset},
	}
	e.Event.Key = r.Key
	e.Event.Time, e.Written = r.Timestamp, r.Timestamp
	for _, h := range r.Headers {
		switch {
		case strings.HasPrefix(h.Key, ownPrefix):
			if trust == FromHoldfast || h.Key == HeaderEventID || h.Key == HeaderParent {
				e.readOwn(h.Key, h.Value)
			}
		case trust == FromHoldfast && strings.HasPrefix(h.Key, dlqPrefix):
			if h.Key == dlqMessage {
				e.Message = string(h.Value)
			}
		default:
			e.Event.Headers = append(e.Event.Headers, holdfast.Header{Name: h.Key, Value: h.Value})
		}
	}
	if e.Event.Origin.IsZero() {
		e.Event.Origin = e.At
	}
	if e.Event.ID == "" {
		e.Event.ID = identity(&e.Event, e.At)
	}
	e.Event.ID = bounded(e.Event.ID)
	return e
}

// bounded replaces an id that would not fit what we add to a record by its
// hash, which tells events apart as well.
func bounded(id string) string {
	if len(id) <= MaxID {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// identity is the event id of a record that has no holdfast.event-id.
func identity(ev *holdfast.Event, at holdfast.Coordinates) string {
	id, source := ev.Header("ce_id"), ev.Header("ce_source")
	switch {
	case id == "":
		return at.String()
	case source == "":
		return id
	default:
		return source + "/" + id
	}
}

func (e *Envelope) readOwn(name string, value []byte) {
	text := string(value)
	switch name {
	case HeaderEventID:
		e.Event.ID = text
	case HeaderOrigin:
		e.Event.Origin, _ = holdfast.ParseCoordinates(text)
	case HeaderOriginTime:
		if t := readTime(text); !t.IsZero() {
			e.Event.Time = t
		}
	case HeaderParent:
		e.Event.Parent, _ = holdfast.ParseCoordinates(text)
	case HeaderHop:
		e.Hop = readInt(text)
	case HeaderEpoch:
		e.Epoch = int32(readInt(text)) //nolint:gosec // readInt is bounded to 31 bits
	case HeaderGeneration:
		e.Generation = readInt(text)
	case HeaderSink:
		e.Sink = text
	case HeaderAttempt:
		e.Spent = readInt(text)
	case HeaderDue:
		e.Due = readTime(text)
	case HeaderFirstAttempt:
		e.FirstAttempt = readTime(text)
	case HeaderFirstFailed:
		e.FirstFailed = readTime(text)
	case HeaderLastFailed:
		e.LastFailed = readTime(text)
	case HeaderAttempts:
		e.Attempts = readHistory(value)
	case HeaderRequest:
		e.Frozen = value
	case HeaderProgress:
		e.Progress = value
	case HeaderClass:
		e.Failure.Class = holdfast.ParseClass(text)
	case HeaderCode:
		e.Failure.Code = text
	case HeaderStatus:
		e.Failure.Status = readInt(text)
	case HeaderRequestID:
		e.Failure.RequestID = text
	case HeaderDetail:
		e.Failure.Detail = text
	case HeaderFingerprint:
		e.Fingerprint = text
	case HeaderRedrive:
		e.Redrive = readRedrive(text)
	}
}

// Fail notes a failure at the given time: what happened last, and when first.
func (e *Envelope) Fail(f holdfast.Failure, at time.Time) {
	e.Failure = f
	e.Message = ""
	if f.Err != nil {
		e.Message = clip(f.Err.Error(), MaxDetail)
	}
	if e.FirstFailed.IsZero() {
		e.FirstFailed = at
	}
	e.LastFailed = at
}

// To renders the record for its next hop. Topic and partition say where it
// goes; epoch is the generation of the group that moves it.
func (e *Envelope) To(topic string, partition int32, epoch int32) *kgo.Record {
	r := &kgo.Record{Topic: topic, Partition: partition, Key: e.Event.Key, Value: e.Payload}
	w := headerWriter{headers: make([]kgo.RecordHeader, 0, len(e.Event.Headers)+16)}
	for _, h := range e.Event.Headers {
		w.headers = append(w.headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	w.text(HeaderEventID, e.Event.ID)
	w.text(HeaderOrigin, e.Event.Origin.String())
	w.time(HeaderOriginTime, e.Event.Time)
	if !e.Event.Parent.IsZero() {
		w.text(HeaderParent, e.Event.Parent.String())
	}
	w.text(HeaderSink, e.Sink)
	w.text(HeaderHop, strconv.Itoa(e.Hop+1))
	w.text(HeaderEpoch, strconv.Itoa(int(epoch)))
	w.positive(HeaderGeneration, e.Generation)
	w.text(HeaderAttempt, strconv.Itoa(e.Spent))
	w.time(HeaderDue, e.Due)
	w.time(HeaderFirstAttempt, e.FirstAttempt)
	w.time(HeaderFirstFailed, e.FirstFailed)
	w.time(HeaderLastFailed, e.LastFailed)
	w.bytes(HeaderAttempts, e.Attempts.encode())
	w.bytes(HeaderRequest, e.Frozen)
	w.bytes(HeaderProgress, e.Progress)
	if e.Failure.Class != "" {
		w.text(HeaderClass, string(e.Failure.Class))
		w.text(HeaderCode, clip(e.Failure.Code, maxWord))
		w.positive(HeaderStatus, e.Failure.Status)
		w.text(HeaderRequestID, clip(e.Failure.RequestID, maxWord))
	}
	if e.Redrive.Count > 0 {
		w.text(HeaderRedrive, e.Redrive.String())
	}
	r.Headers = w.headers
	return r
}

// ToDeadLetters renders the record for a dead-letter topic, with all that is
// needed to understand and replay it. Its timestamp is the time of writing,
// because retention counts from there.
func (e *Envelope) ToDeadLetters(topic string, partition int32, epoch int32, group string) *kgo.Record {
	letter := *e
	letter.Due = time.Time{}
	r := letter.To(topic, partition, epoch)
	w := headerWriter{headers: r.Headers}
	w.text(HeaderDetail, clip(e.Failure.Detail, MaxDetail))
	w.text(HeaderFingerprint, e.fingerprint())
	w.text(dlqTopic, e.Event.Origin.Topic)
	w.text(dlqPartition, strconv.Itoa(int(e.Event.Origin.Partition)))
	w.text(dlqOffset, strconv.FormatInt(e.Event.Origin.Offset, 10))
	w.text(dlqGroup, group)
	w.text(dlqDeliveryCount, strconv.Itoa(e.Spent))
	w.text(dlqMessage, e.Message)
	r.Headers = w.headers
	return r
}

// ToRedrive renders a dead letter to be sent again: attempts start anew, and so
// does the time for which it fails; key, event id, origin and the time of the
// first attempt stay. The old trace becomes a link.
func (e *Envelope) ToRedrive(topic string, job Redrive) *kgo.Record {
	again := *e
	again.Spent, again.Due, again.Redrive = 0, time.Time{}, job
	again.FirstFailed, again.LastFailed = time.Time{}, time.Time{}
	again.Event.Headers = nil
	var link string
	for _, h := range e.Event.Headers {
		switch h.Name {
		case "traceparent":
			link = string(h.Value)
		case "tracestate":
		default:
			again.Event.Headers = append(again.Event.Headers, h)
		}
	}
	r := again.To(topic, e.At.Partition, e.Epoch)
	w := headerWriter{headers: r.Headers}
	w.text(HeaderTraceLink, link)
	r.Headers = w.headers
	return r
}

// fingerprint groups by sink, class, status, code, schema id and the message
// without its digits.
func (e *Envelope) fingerprint() string {
	h := sha256.New()
	var schemaID string
	if len(e.Payload) >= 5 && e.Payload[0] == 0 {
		schemaID = hex.EncodeToString(e.Payload[1:5])
	}
	for _, s := range []string{
		e.Sink, string(e.Failure.Class), strconv.Itoa(e.Failure.Status), e.Failure.Code, schemaID, normalise(e.Message),
	} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// normalise drops what differs between two failures of one cause: words with digits.
func normalise(message string) string {
	words := strings.Fields(message)
	for i, w := range words {
		if strings.ContainsAny(w, "0123456789") {
			words[i] = "#"
		}
	}
	return strings.Join(words, " ")
}

// Size is about how many bytes the envelope holds in memory.
func (e *Envelope) Size() int {
	n := len(e.Payload) + len(e.Event.Key) + len(e.Event.ID) + len(e.Frozen) + len(e.Progress) + 512
	for _, h := range e.Event.Headers {
		n += len(h.Name) + len(h.Value) + 40
	}
	return n + 160*len(e.Attempts)
}
