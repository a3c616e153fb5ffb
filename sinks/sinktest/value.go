package sinktest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// Value is a [holdfast.Value] over a map, for tests that need no Avro.
type Value struct {
	Name   string // full name of the record
	Record map[string]any
	// Into fills the generated type that Decode is given; nil makes Decode fail.
	Into func(dst any) error
	// Err is what every method returns, as for bytes that do not decode.
	Err error
}

// Schema implements [holdfast.Value].
func (v Value) Schema() string { return v.Name }

// Decode implements [holdfast.Value].
func (v Value) Decode(dst any) error {
	if v.Err != nil {
		return v.Err
	}
	if v.Into == nil {
		return Poison("this test value does not decode")
	}
	return v.Into(dst)
}

// Fields implements [holdfast.Value].
func (v Value) Fields() (map[string]any, error) { return v.Record, v.Err }

// JSON implements [holdfast.Value].
func (v Value) JSON() ([]byte, error) {
	if v.Err != nil {
		return nil, v.Err
	}
	return json.Marshal(plain(v.Record))
}

// Poison is the error of bytes that do not decode.
func Poison(text string) error {
	return holdfast.Permanent(holdfast.ClassPoison, "undecodable", errors.New(text))
}

func plain(v any) any {
	switch v := v.(type) {
	case *big.Rat:
		digits, _ := v.FloatPrec()
		return v.FloatString(digits)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, field := range v {
			m[name] = plain(field)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plain(item)
		}
		return list
	}
	return v
}

// Attempt is the first attempt of an event, to the sink called test.
func Attempt(id, key string, v holdfast.Value) *sinks.Attempt {
	return &sinks.Attempt{
		Sink: "test", Number: 1,
		Event: holdfast.Event{
			ID: id, Key: []byte(key), Value: v,
			Origin: holdfast.Coordinates{Topic: "test.event.v1", Partition: 0, Offset: 1},
			Time:   time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		},
	}
}

// Again is the attempt after a: a new delivery of the same event, with what
// the engine would have kept of the earlier one.
func Again(a *sinks.Attempt) *sinks.Attempt {
	next := *a
	next.Number++
	next.Receipt = sinks.Receipt{}
	return &next
}
