package schemas

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/twmb/avro"

	"holdfast.internal"
)

// maxErrors bounds how many broken rules one value is told about.
const maxErrors = 50

// EncodeJSON turns JSON into the Avro body of v's newest version. It takes
// plain JSON (decimals as strings or numbers, timestamps in RFC 3339 or epoch
// milliseconds) and Avro-JSON; where a text could be either, it is plain. The
// error is permanent, of class validation, and names every field that breaks a
// rule, never a value.
func EncodeJSON(v Version, text []byte) ([]byte, error) {
	schema, err := avro.Parse(v.Text)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", v.Path, err)
	}
	var parsed any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&parsed); err != nil {
		return nil, invalid(fmt.Errorf("not JSON: %w", err))
	}
	if dec.More() {
		return nil, invalid(errors.New("more than one JSON value"))
	}
	root := schema.Root()
	r := jsonReader{names: namesOf(root)}
	native := r.value("", root, parsed)
	if len(r.errs) > 0 {
		var fromAvro any
		if schema.DecodeJSON(text, &fromAvro) != nil {
			return nil, invalid(errors.Join(r.errs...))
		}
		native = fromAvro
	}
	body, err := schema.Encode(native)
	if err != nil {
		return nil, invalid(err)
	}
	return body, nil
}

func invalid(err error) error {
	return holdfast.Permanent(holdfast.ClassValidation, "invalid", err)
}

// jsonReader turns parsed JSON into native Go values of a schema.
type jsonReader struct {
	names names
	errs  []error
}

func (r *jsonReader) refuse(path, rule string, args ...any) any {
	if len(r.errs) < maxErrors {
		if path == "" {
			path = "value"
		}
		r.errs = append(r.errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(rule, args...)))
	}
	return nil
}

func (r *jsonReader) value(path string, n *avro.SchemaNode, v any) any {
	n = r.names.follow(n)
	if len(n.Branches) > 0 {
		return r.union(path, n, v)
	}
	switch n.LogicalType {
	case "decimal":
		return r.decimal(path, n, v)
	case "timestamp-millis", "timestamp-micros", "date":
		return r.time(path, n, v)
	}
	switch n.Type {
	case "record":
		return r.record(path, n, v)
	case "array":
		return r.array(path, n, v)
	case "map":
		return r.mapping(path, n, v)
	case "enum":
		return r.enum(path, n, v)
	case "null":
		if v != nil {
			return r.refuse(path, "must be null, is %s", kindOf(v))
		}
		return nil
	case "boolean":
		if b, ok := v.(bool); ok {
			return b
		}
	case "string":
		if s, ok := v.(string); ok {
			return s
		}
	case "int", "long":
		return r.integer(path, n.Type, v)
	case "float", "double":
		if f, ok := v.(json.Number); ok {
			if x, err := f.Float64(); err == nil {
				return x
			}
		}
	case "bytes", "fixed":
		if s, ok := v.(string); ok {
			if b, err := base64.StdEncoding.DecodeString(s); err == nil {
				return b
			}
			return r.refuse(path, "must be base64")
		}
	}
	return r.refuse(path, "must be a %s, is %s", n.Type, kindOf(v))
}

func (r *jsonReader) record(path string, n *avro.SchemaNode, v any) any {
	in, ok := v.(map[string]any)
	if !ok {
		return r.refuse(path, "must be an object, is %s", kindOf(v))
	}
	out := make(map[string]any, len(n.Fields))
	for i := range n.Fields {
		f := &n.Fields[i]
		given, ok := in[f.Name]
		switch {
		case ok:
			out[f.Name] = r.value(join(path, f.Name), &f.Type, given)
		case f.HasDefault:
			out[f.Name] = f.Default
		default:
			r.refuse(join(path, f.Name), "is missing and has no default")
		}
	}
	for name := range in {
		if !slices.ContainsFunc(n.Fields, func(f avro.SchemaField) bool { return f.Name == name }) {
			r.refuse(join(path, name), "is no field of %s", fullName(n))
		}
	}
	return out
}

func (r *jsonReader) array(path string, n *avro.SchemaNode, v any) any {
	in, ok := v.([]any)
	if !ok {
		return r.refuse(path, "must be an array, is %s", kindOf(v))
	}
	out := make([]any, len(in))
	for i := range in {
		out[i] = r.value(fmt.Sprintf("%s[%d]", path, i), n.Items, in[i])
	}
	return out
}

func (r *jsonReader) mapping(path string, n *avro.SchemaNode, v any) any {
	in, ok := v.(map[string]any)
	if !ok {
		return r.refuse(path, "must be an object, is %s", kindOf(v))
	}
	out := make(map[string]any, len(in))
	for k := range in {
		out[k] = r.value(join(path, k), n.Values, in[k])
	}
	return out
}

func (r *jsonReader) enum(path string, n *avro.SchemaNode, v any) any {
	s, ok := v.(string)
	if !ok || !slices.Contains(n.Symbols, s) {
		return r.refuse(path, "must be one of %s", strings.Join(n.Symbols, ", "))
	}
	return s
}

// union tries the branches in order: null for null, a wrapper of Avro-JSON by
// its name, else the first that fits.
func (r *jsonReader) union(path string, n *avro.SchemaNode, v any) any {
	if wrapped, ok := v.(map[string]any); ok && len(wrapped) == 1 {
		for i := range n.Branches {
			if inner, ok := wrapped[branchName(r.names.follow(&n.Branches[i]))]; ok {
				return r.value(path, &n.Branches[i], inner)
			}
		}
	}
	var first []error
	for i := range n.Branches {
		b := &n.Branches[i]
		if (v == nil) != (b.Type == "null") {
			continue
		}
		try := jsonReader{names: r.names}
		out := try.value(path, b, v)
		if len(try.errs) == 0 {
			return out
		}
		if first == nil {
			first = try.errs
		}
	}
	if first == nil {
		return r.refuse(path, "must not be null")
	}
	r.errs = append(r.errs, first...)
	return nil
}

func branchName(n *avro.SchemaNode) string {
	if n.Name != "" {
		return fullName(n)
	}
	return n.Type
}

func (r *jsonReader) integer(path, kind string, v any) any {
	bits := 64
	if kind == "int" {
		bits = 32
	}
	number, ok := v.(json.Number)
	if !ok {
		return r.refuse(path, "must be a whole number, is %s", kindOf(v))
	}
	exact, ok := new(big.Rat).SetString(number.String())
	if len(number) > 64 || !ok || !exact.IsInt() || exact.Num().BitLen() >= bits {
		return r.refuse(path, "must be a whole number of %d bits", bits)
	}
	if bits == 32 {
		return int32(exact.Num().Int64()) //nolint:gosec // bounded by BitLen above
	}
	return exact.Num().Int64()
}

func (r *jsonReader) decimal(path string, n *avro.SchemaNode, v any) any {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case json.Number:
		text = v.String()
	default:
		return r.refuse(path, "must be a decimal, is %s", kindOf(v))
	}
	d, ok := parseDecimal(text)
	if !ok {
		return r.refuse(path, "must be a decimal such as 120.00")
	}
	scaled := new(big.Rat).Mul(d, new(big.Rat).SetInt(pow10(n.Scale)))
	if !scaled.IsInt() {
		return r.refuse(path, "must have at most %d digits after the point", n.Scale)
	}
	if len(new(big.Int).Abs(scaled.Num()).String()) > n.Precision {
		return r.refuse(path, "must have at most %d digits", n.Precision)
	}
	return d
}

// parseDecimal takes plain decimals only: no fractions, no exponents beyond reason.
func parseDecimal(s string) (*big.Rat, bool) {
	if len(s) == 0 || len(s) > 64 || strings.ContainsAny(s, "/eExXpP_bBoO") {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func (r *jsonReader) time(path string, n *avro.SchemaNode, v any) any {
	switch v := v.(type) {
	case string:
		layout := time.RFC3339Nano
		if n.LogicalType == "date" {
			layout = time.DateOnly
		}
		t, err := time.Parse(layout, v)
		if err != nil {
			return r.refuse(path, "must be a time such as 2026-11-24T09:00:00Z")
		}
		return t
	case json.Number:
		i, err := v.Int64()
		if err != nil {
			return r.refuse(path, "must be a time")
		}
		switch n.LogicalType {
		case "timestamp-micros":
			return time.UnixMicro(i).UTC()
		case "date":
			return time.Unix(i*86400, 0).UTC()
		}
		return time.UnixMilli(i).UTC()
	}
	return r.refuse(path, "must be a time, is %s", kindOf(v))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return "something else"
}
