package holdfast

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Coordinates name one record in Kafka, in the notation of Kafka's own logs:
// topic-partition@offset, such as crm.invoice.v1-3@4711.
type Coordinates struct {
	Topic     string
	Partition int32
	Offset    int64
}

// ErrCoordinates reports text that is not topic-partition@offset.
var ErrCoordinates = errors.New("not coordinates of the form topic-partition@offset")

// String returns topic-partition@offset.
func (c Coordinates) String() string {
	return c.Topic + "-" + strconv.FormatInt(int64(c.Partition), 10) + "@" + strconv.FormatInt(c.Offset, 10)
}

// IsZero reports whether c names no record.
func (c Coordinates) IsZero() bool { return c.Topic == "" }

// ParseCoordinates is the inverse of [Coordinates.String].
func ParseCoordinates(s string) (Coordinates, error) {
	bad := func() (Coordinates, error) { return Coordinates{}, fmt.Errorf("%q: %w", s, ErrCoordinates) }
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return bad()
	}
	dash := strings.LastIndexByte(s[:at], '-')
	if dash <= 0 {
		return bad()
	}
	partition, err := strconv.ParseInt(s[dash+1:at], 10, 32)
	if err != nil || partition < 0 {
		return bad()
	}
	offset, err := strconv.ParseInt(s[at+1:], 10, 64)
	if err != nil || offset < 0 {
		return bad()
	}
	return Coordinates{Topic: s[:dash], Partition: int32(partition), Offset: offset}, nil
}

// Header is one record header. Names may repeat.
type Header struct {
	Name  string
	Value []byte
}

// Event is one record as a processor or a sink sees it.
type Event struct {
	// ID is holdfast.event-id if the record has one, else ce_source/ce_id, else
	// ce_id, else the coordinates. It outlives tiers, dead letters and redrives.
	ID string
	// Origin is where this sink or processor first read the record.
	Origin Coordinates
	// Parent is the processor's input that this record was made from; zero on
	// records that a producer wrote.
	Parent Coordinates
	// Key is nil for a record without a key: no order is kept for it.
	Key []byte
	// Value is nil for a tombstone.
	Value Value
	// Headers are the producer's own, ce_* and traceparent among them; never holdfast.*.
	Headers []Header
	// Time is the record's timestamp at its origin.
	Time time.Time
}

// Header returns the first header called name, or "".
func (e *Event) Header(name string) string {
	for _, h := range e.Headers {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}

// Value is a record's value, decoded on demand from untrusted bytes. Every
// error it returns is a [*PermanentError] of class poison, so that a sink may
// return it as its verdict.
type Value interface {
	// Schema is the Avro full name of the record, such as crm.Invoice.
	Schema() string
	// Decode fills dst, a pointer to the generated type of the record, after
	// resolving the writer's schema to the newest compiled in.
	Decode(dst any) error
	// Fields returns the record by field name. Decimals are *big.Rat, timestamps
	// time.Time, nested records map[string]any, nulls nil.
	Fields() (map[string]any, error)
	// JSON returns plain JSON: no union wrappers, decimals and timestamps as
	// strings (RFC 3339), bytes as base64.
	JSON() ([]byte, error)
}
