// Package producers is the seam for the ways in which events enter Kafka. A
// producer checks what it is given against the topic's schema, publishes it,
// and says "accepted" only after the broker has.
package producers

import (
	"context"
	"time"

	"holdfast.internal"
)

// Record is one event on its way into a topic, already in the wire format.
type Record struct {
	Topic   string
	Key     []byte
	Value   []byte
	Headers []holdfast.Header
	Time    time.Time // zero: now
}

// Publisher writes records and waits until all replicas have them. The errors
// are per record and in order (nil: acknowledged); records of one key keep
// their order, so after an error no later record of that key was written.
type Publisher interface {
	Publish(ctx context.Context, records []Record) []error
}

// Encoder turns JSON into the wire format of a topic's schema. It takes plain
// JSON and Avro-JSON. An error of class validation names the field and the rule;
// an UnavailableError means that the registry did not answer.
type Encoder interface {
	EncodeJSON(ctx context.Context, topic string, json []byte) ([]byte, error)
}
