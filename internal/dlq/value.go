package dlq

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"holdfast.internal"
	"holdfast.internal/internal/record"
)

// Opener decodes a value with its writer's schema. topic is where the value
// was written first, as its subject goes by that. An error that is neither a
// [*holdfast.PermanentError] nor of class schema means that nobody could be
// asked for the schema.
type Opener interface {
	Open(ctx context.Context, topic string, wire []byte, headers []holdfast.Header) (holdfast.Value, error)
}

// masker is what a [holdfast.Value] offers that knows which of its fields are
// personal. Of any other value everything is masked.
type masker interface {
	MaskedJSON() ([]byte, error)
}

// mask stands for what is not shown.
const mask = "***"

// Schema names what a value was written with.
type Schema struct {
	ID      int    `json:"id"`
	Name    string `json:"name"` // "" where the value does not open
	Subject string `json:"subject"`
}

// unread is shown in place of a value that does not open: never nothing.
type unread struct {
	Reason string `json:"reason"`
	Bytes  int    `json:"bytes"`
	Hex    string `json:"hex,omitempty"`
}

// openValue renders a payload as JSON, and says what it was written with.
func (b *Box) openValue(ctx context.Context, e *record.Envelope, reveal bool) (json.RawMessage, *Schema) {
	if e.Payload == nil { // a tombstone
		return json.RawMessage("null"), nil
	}
	schema := wireSchema(e)
	if b.Values == nil {
		return closedValue(e.Payload, errors.New("no schema registry"), reveal), schema
	}
	value, err := b.Values.Open(ctx, e.Event.Origin.Topic, e.Payload, e.Event.Headers)
	if err != nil {
		return closedValue(e.Payload, err, reveal), schema
	}
	if schema == nil { // the id stands in a header
		schema = &Schema{Subject: e.Event.Origin.Topic + "-value"}
	}
	schema.Name = value.Schema()
	text, err := plain(value, reveal)
	if err != nil {
		return closedValue(e.Payload, err, reveal), schema
	}
	return text, schema
}

func wireSchema(e *record.Envelope) *Schema {
	if len(e.Payload) < 5 || e.Payload[0] != 0 {
		return nil
	}
	return &Schema{ID: int(binary.BigEndian.Uint32(e.Payload[1:5])), Subject: e.Event.Origin.Topic + "-value"}
}

func plain(value holdfast.Value, reveal bool) (json.RawMessage, error) {
	if reveal {
		return value.JSON()
	}
	if m, ok := value.(masker); ok {
		return m.MaskedJSON()
	}
	text, err := value.JSON()
	if err != nil {
		return nil, err
	}
	return maskAll(text)
}

// closedValue shows bytes that do not open, with the reason. Bytes that may be
// a good record whose schema is out of reach hold personal fields which nobody
// could mask: those are shown only when revealed.
func closedValue(payload []byte, err error, reveal bool) json.RawMessage {
	shown := unread{Reason: err.Error(), Bytes: len(payload)}
	if reveal || !outOfReach(err) {
		shown.Hex = hex.EncodeToString(payload)
	} else {
		shown.Reason += "; --reveal shows the bytes"
	}
	text, err := json.Marshal(shown)
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// outOfReach reports whether the schema may well exist and could not be had.
func outOfReach(err error) bool {
	verdict, failure := holdfast.Judge(err)
	return verdict != holdfast.VerdictPermanent && (verdict == holdfast.VerdictUnavailable || failure.Class != holdfast.ClassSchema)
}

// maskAll hides every leaf and keeps the shape.
func maskAll(text []byte) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(masked(v))
}

func masked(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = masked(v[name])
		}
		return v
	case []any:
		for i := range v {
			v[i] = masked(v[i])
		}
		return v
	case nil:
		return nil
	default:
		return mask
	}
}

// Request is a frozen request. It is payload: its text is shown only when
// revealed, as nobody knows which part of a vendor's format is personal.
type Request struct {
	Bytes  int    `json:"bytes"` // 0 where only the sum was kept
	SHA256 string `json:"sha256"`
	Text   string `json:"text,omitempty"`
	Hex    string `json:"hex,omitempty"` // instead of Text where it is not UTF-8
}

func openRequest(frozen record.Frozen, reveal bool) *Request {
	request, sum := frozen.Thaw()
	if request == nil && sum == nil {
		return nil
	}
	if request == nil {
		return &Request{SHA256: hex.EncodeToString(sum)}
	}
	digest := sha256.Sum256(request)
	r := &Request{Bytes: len(request), SHA256: hex.EncodeToString(digest[:])}
	switch {
	case !reveal:
	case utf8.Valid(request):
		r.Text = string(request)
	default:
		r.Hex = hex.EncodeToString(request)
	}
	return r
}
