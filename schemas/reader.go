package schemas

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/twmb/avro"

	"holdfast.internal"
)

// Reader decodes what one writer's schema wrote into the newest version of
// the record that is compiled in. It is safe for concurrent use.
type Reader struct {
	name    string
	resolve *avro.Schema
	root    *avro.SchemaNode // of the reader's schema: what values look like
	names   names
}

// NewReader parses a writer's schema. A record that is not compiled in is read
// as it was written.
func NewReader(writer string) (*Reader, error) {
	w, err := avro.Parse(writer)
	if err != nil {
		return nil, fmt.Errorf("writer's schema: %w", err)
	}
	name := fullName(w.Root())
	latest, err := Latest(name)
	if err != nil {
		return newReader(name, w, w.Root()), nil //nolint:nilerr // not compiled in is no error here
	}
	r, err := avro.Parse(latest.Text)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", latest.Path, err)
	}
	resolved, err := avro.Resolve(w, r)
	if err != nil {
		return nil, fmt.Errorf("writer's schema of %s cannot be read with %s: %w", name, latest.Path, err)
	}
	return newReader(name, resolved, r.Root()), nil
}

func newReader(name string, resolve *avro.Schema, root *avro.SchemaNode) *Reader {
	return &Reader{name: name, resolve: resolve, root: root, names: namesOf(root)}
}

// Name is the record's full name, "" for a schema that is no named type.
func (r *Reader) Name() string { return r.name }

func fullName(n *avro.SchemaNode) string {
	if n.Name == "" || n.Namespace == "" || strings.Contains(n.Name, ".") {
		return n.Name
	}
	return n.Namespace + "." + n.Name
}

// Value binds the reader to a record's bytes, without the wire prefix.
func (r *Reader) Value(body []byte) *Value { return &Value{reader: r, body: body} }

// Value is a record's value, decoded when asked. It implements holdfast.Value.
type Value struct {
	reader *Reader
	body   []byte
}

var _ holdfast.Value = (*Value)(nil)

var errTrailing = errors.New("bytes left over behind the record")

// Schema is the record's full name.
func (v *Value) Schema() string { return v.reader.name }

// Decode fills dst, a pointer to a generated type.
func (v *Value) Decode(dst any) error {
	rest, err := v.reader.resolve.Decode(v.body, dst)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d %w", len(rest), errTrailing)
	}
	return holdfast.Permanent(holdfast.ClassPoison, "undecodable", plainly(err))
}

// plainly says in which field decoding ended and why. What the decoder says
// beside that, "unsupported Avro type record", reads as if the schema were wrong.
func plainly(err error) error {
	field := ""
	for at := (*avro.SemanticError)(nil); errors.As(err, &at) && at.Err != nil; err = at.Err {
		if field == "" {
			field = at.Field
		}
	}
	if field == "" {
		return err
	}
	return fmt.Errorf("field %s: %w", clip(field), err)
}

// clip bounds what a hostile schema has for a name.
func clip(name string) string { return name[:min(len(name), 200)] }

// Fields returns the record by field name.
func (v *Value) Fields() (map[string]any, error) {
	var fields map[string]any
	if err := v.Decode(&fields); err != nil {
		return nil, err
	}
	return fields, nil
}

// JSON returns plain JSON.
func (v *Value) JSON() ([]byte, error) { return v.json(false) }

// MaskedJSON is JSON with *** for every field that is marked pii.
func (v *Value) MaskedJSON() ([]byte, error) { return v.json(true) }

func (v *Value) json(masked bool) ([]byte, error) {
	var decoded any
	if err := v.Decode(&decoded); err != nil {
		return nil, err
	}
	w := jsonWriter{masked: masked, names: v.reader.names}
	w.value(v.reader.root, decoded)
	return w.out, nil
}

// decimalText spells a decimal of the given scale exactly: 120.00.
func decimalText(d *big.Rat, scale int) string { return d.FloatString(scale) }
