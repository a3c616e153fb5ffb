package schemas

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/avro"
)

// jsonWriter writes plain JSON in the order of the schema: no union wrappers,
// decimals and timestamps as strings, bytes as base64.
type jsonWriter struct {
	out    []byte
	masked bool
	names  names
}

func (w *jsonWriter) value(n *avro.SchemaNode, v any) {
	n = w.names.follow(n)
	switch v := v.(type) {
	case nil:
		w.out = append(w.out, "null"...)
	case map[string]any:
		if n = w.recordOrMap(n, v); n.Type == "record" {
			w.record(n, v)
		} else {
			w.mapping(n, v)
		}
	case []any:
		w.array(w.branch(n, func(b *avro.SchemaNode) bool { return b.Type == "array" }), v)
	case *big.Rat:
		w.text(decimalText(v, w.branch(n, func(b *avro.SchemaNode) bool { return b.LogicalType == "decimal" }).Scale))
	case time.Time:
		w.text(v.UTC().Format(time.RFC3339Nano))
	case time.Duration:
		w.text(v.String())
	case []byte:
		w.text(base64.StdEncoding.EncodeToString(v))
	case string:
		w.text(v)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	case int32:
		w.out = strconv.AppendInt(w.out, int64(v), 10)
	case int64:
		w.out = strconv.AppendInt(w.out, v, 10)
	default:
		w.other(v)
	}
}

func (w *jsonWriter) record(n *avro.SchemaNode, v map[string]any) {
	w.out = append(w.out, '{')
	for i := range n.Fields {
		f := &n.Fields[i]
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.text(f.Name)
		w.out = append(w.out, ':')
		if _, personal := f.Props["pii"]; personal && w.masked && v[f.Name] != nil {
			w.text("***")
			continue
		}
		w.value(&f.Type, v[f.Name])
	}
	w.out = append(w.out, '}')
}

func (w *jsonWriter) mapping(n *avro.SchemaNode, v map[string]any) {
	values := &avro.SchemaNode{}
	if n.Values != nil {
		values = n.Values
	}
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	w.out = append(w.out, '{')
	for i, k := range keys {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.text(k)
		w.out = append(w.out, ':')
		w.value(values, v[k])
	}
	w.out = append(w.out, '}')
}

func (w *jsonWriter) array(n *avro.SchemaNode, v []any) {
	items := &avro.SchemaNode{}
	if n.Items != nil {
		items = n.Items
	}
	w.out = append(w.out, '[')
	for i, item := range v {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.value(items, item)
	}
	w.out = append(w.out, ']')
}

func (w *jsonWriter) text(s string) { w.other(s) }

// other writes what encoding/json spells well; NaN and infinities become null.
func (w *jsonWriter) other(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("null")
	}
	w.out = append(w.out, b...)
}

// branch picks, where n is a union, its first branch that fits.
func (w *jsonWriter) branch(n *avro.SchemaNode, fits func(*avro.SchemaNode) bool) *avro.SchemaNode {
	for i := range n.Branches {
		if b := w.names.follow(&n.Branches[i]); fits(b) {
			return b
		}
	}
	return n
}

// recordOrMap is what v was decoded with: of several records the one that has
// its fields.
func (w *jsonWriter) recordOrMap(n *avro.SchemaNode, v map[string]any) *avro.SchemaNode {
	return w.branch(n, func(b *avro.SchemaNode) bool {
		return b.Type == "map" || b.Type == "record" && len(b.Fields) == len(v) &&
			!slices.ContainsFunc(b.Fields, func(f avro.SchemaField) bool { _, ok := v[f.Name]; return !ok })
	})
}
