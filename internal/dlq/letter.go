package dlq

import (
	"encoding/hex"
	"time"
	"unicode/utf8"

	"holdfast.internal"
	"holdfast.internal/internal/record"
)

// Letter is one dead letter as lists show it. Its field names are an
// interface for scripts.
type Letter struct {
	State     State   `json:"state"`
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	Key       *string `json:"key"` // null: no key; hex where it is not UTF-8
	EventID   string  `json:"event_id"`
	Origin    string  `json:"origin"`
	Sink      string  `json:"sink"` // or the processor
	Class     string  `json:"class"`
	Status    int     `json:"status"` // HTTP; 0 where nobody answered
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
	Attempts  int     `json:"attempts"`
	// FirstFailed and LastFailed are null on a letter that holdfast did not write.
	FirstFailed *time.Time `json:"first_failed"`
	LastFailed  *time.Time `json:"last_failed"`
	Due         *time.Time `json:"due"` // null unless the letter waits for a time
	Fingerprint string     `json:"fingerprint"`
	Redrives    int        `json:"redrives"`
}

// Coordinates name the letter.
func (l *Letter) Coordinates() holdfast.Coordinates {
	return holdfast.Coordinates{Topic: l.Topic, Partition: l.Partition, Offset: l.Offset}
}

// newLetter describes an envelope. owner is whose topic it lies in, for
// letters that do not say which sink failed.
func newLetter(e *record.Envelope, owner string, state State) Letter {
	l := Letter{
		State: state, Topic: e.At.Topic, Partition: e.At.Partition, Offset: e.At.Offset,
		Key: KeyText(e.Event.Key), EventID: e.Event.ID, Origin: e.Event.Origin.String(),
		Sink: e.Sink, Class: string(e.Failure.Class), Status: e.Failure.Status, Code: e.Failure.Code,
		Detail: e.Failure.Detail, Attempts: e.Spent,
		FirstFailed: moment(e.FirstFailed), LastFailed: moment(e.LastFailed), Due: moment(e.Due),
		Fingerprint: e.Fingerprint, Redrives: e.Redrive.Count,
	}
	if l.Sink == "" {
		l.Sink = owner
	}
	if l.Class == "" {
		l.Class = string(holdfast.ClassUnknown)
	}
	if l.Detail == "" { // no vendor spoke: what we said ourselves
		l.Detail = e.Message
	}
	return l
}

// KeyText shows a record's key: nil for none, hex where it is not UTF-8.
func KeyText(key []byte) *string {
	if key == nil {
		return nil
	}
	text := string(key)
	if !utf8.Valid(key) {
		text = hex.EncodeToString(key)
	}
	return &text
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
