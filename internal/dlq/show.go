package dlq

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
)

// Shown is one letter with all that it holds.
type Shown struct {
	Letter
	// Value is plain JSON; {reason, bytes, hex} where it does not decode; null
	// for a tombstone.
	Value json.RawMessage `json:"value"`
	// Headers are all headers by name: a string, or a list of strings where a
	// name repeats; hex where a value is not UTF-8. Payload in headers is masked.
	Headers     map[string]any `json:"headers"`
	Schema      *Schema        `json:"schema"`
	AttemptsLog record.History `json:"attempts_log"`

	Message      string       `json:"message"` // what the failure's cause said
	RequestID    string       `json:"request_id"`
	Parent       string       `json:"parent"`
	FirstAttempt *time.Time   `json:"first_attempt"`
	Request      *Request     `json:"request"` // frozen
	Disposition  *Disposition `json:"disposition"`
	Masked       bool         `json:"masked"`
}

// Show opens one letter. Personal fields are masked unless reveal is set; that
// by does so is written to the audit topic first. [ErrNoLetter] where nothing
// lies at the coordinates.
func (b *Box) Show(ctx context.Context, at holdfast.Coordinates, reveal bool, by string) (*Shown, error) {
	r, err := b.fetch(ctx, at)
	if err != nil {
		return nil, err
	}
	if reveal {
		if err := b.auditReveal(ctx, at, by); err != nil {
			return nil, err
		}
	}
	disposition, err := b.Disposition(ctx, at)
	if err != nil {
		return nil, err
	}
	state := Open
	if disposition != nil {
		state = disposition.State
	}
	e := record.Read(r, record.FromHoldfast)
	s := &Shown{
		Letter: newLetter(e, b.Target.Name, stateOf(e, state)), Headers: showHeaders(r.Headers, reveal),
		AttemptsLog: e.Attempts, Message: e.Message, RequestID: e.Failure.RequestID,
		FirstAttempt: moment(e.FirstAttempt), Request: openRequest(e.Frozen, reveal),
		Disposition: disposition, Masked: !reveal,
	}
	if s.AttemptsLog == nil {
		s.AttemptsLog = record.History{}
	}
	if !e.Event.Parent.IsZero() {
		s.Parent = e.Event.Parent.String()
	}
	s.Value, s.Schema = b.openValue(ctx, e, reveal)
	return s, nil
}

func (b *Box) fetch(ctx context.Context, at holdfast.Coordinates) (*kgo.Record, error) {
	extents, err := scan.Measure(ctx, b.admin(), at.Topic)
	if errors.Is(err, scan.ErrNoTopic) {
		return nil, fmt.Errorf("%s: %w: %w", at, ErrNoLetter, err)
	}
	if err != nil {
		return nil, err
	}
	stretch, ok := extents[at.Topic][at.Partition]
	if !ok || at.Offset < stretch.From || at.Offset >= stretch.To {
		return nil, fmt.Errorf("%s: %w", at, ErrNoLetter)
	}
	r, ok, err := b.Scanner.One(ctx, at.Topic, at.Partition, at.Offset)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", at, ErrNoLetter)
	}
	return r, nil
}

func showHeaders(headers []kgo.RecordHeader, reveal bool) map[string]any {
	out := map[string]any{}
	for _, h := range headers {
		text := headerText(h, reveal)
		switch before := out[h.Key].(type) {
		case nil:
			out[h.Key] = text
		case string:
			out[h.Key] = []string{before, text}
		case []string:
			out[h.Key] = append(before, text)
		}
	}
	return out
}

func headerText(h kgo.RecordHeader, reveal bool) string {
	payload := h.Key == record.HeaderRequest || h.Key == record.HeaderProgress
	switch {
	case payload && !reveal:
		return fmt.Sprintf("%s (%d bytes)", mask, len(h.Value))
	case utf8.Valid(h.Value):
		return string(h.Value)
	default:
		return hex.EncodeToString(h.Value)
	}
}
