package schemas

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hamba/avro/v2"

	"holdfast.internal"
)

var errUnset = errors.New("a field that must have a value has none")

// Encoder encodes generated types with the newest version of a record.
type Encoder struct {
	schema avro.Schema
	api    avro.API
}

// NewEncoder makes the encoder of a version. Each has a cache of its own:
// hamba's global one lets a schema of one subject use types of another.
func NewEncoder(v Version) (*Encoder, error) {
	schema, err := avro.ParseWithCache(v.Text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", v.Path, err)
	}
	return &Encoder{schema: schema, api: avro.Config{}.Freeze()}, nil
}

// Encode returns the Avro body of v, a generated type or a pointer to one. A
// value that cannot be encoded, such as one whose decimal is nil, is permanent.
func (e *Encoder) Encode(v any) (body []byte, err error) {
	defer func() { // hamba panics where a pointer that must not be nil is
		if r := recover(); r != nil {
			err = holdfast.Permanent(holdfast.ClassTransform, "unencodable", errUnset)
		}
	}()
	body, err = e.api.Marshal(e.schema, v)
	if err != nil {
		return nil, holdfast.Permanent(holdfast.ClassTransform, "unencodable", err)
	}
	return body, nil
}

// Encoders makes encoders once per record.
type Encoders struct{ byRecord sync.Map }

// For returns the encoder of a record's newest version.
func (e *Encoders) For(record string) (*Encoder, error) {
	if enc, ok := e.byRecord.Load(record); ok {
		return enc.(*Encoder), nil //nolint:forcetypeassert // the map holds nothing else
	}
	latest, err := Latest(record)
	if err != nil {
		return nil, err
	}
	enc, err := NewEncoder(latest)
	if err != nil {
		return nil, err
	}
	e.byRecord.Store(record, enc)
	return enc, nil
}
