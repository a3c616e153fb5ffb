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
	types  map[string]*avro.SchemaNode // named types, for references
}

// learn notes the named types below n.
func (w *jsonWriter) learn(n *avro.SchemaNode) {
	if n == nil {
		return
	}
	if n.Name != "" {
		if _, known := w.types[fullName(n)]; known {
			return
		}
		w.types[fullName(n)] = n
	}
	for i := range n.Fields {
		w.learn(&n.Fields[i].Type)
	}
	w.learn(n.Items)
	w.learn(n.Values)
	for i := range n.Branches {
		w.learn(&n.Branches[i])
	}
}

func (w *jsonWriter) value(n *avro.SchemaNode, v any) {
	if named, ok := w.types[n.Type]; ok {
		n = named
	}
	switch v := v.(type) {
	case nil:
		w.out = append(w.out, "null"...)
	case map[string]any:
		if n = branchOf(n, "record", "map"); n.Type == "record" {
			w.record(n, v)
		} else {
			w.mapping(n, v)
		}
	case []any:
		w.array(branchOf(n, "array"), v)
	case *big.Rat:
		w.text(decimalText(v, decimalScale(n)))
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

// branchOf picks, where n is a union, its branch of one of the kinds.
func branchOf(n *avro.SchemaNode, kinds ...string) *avro.SchemaNode {
	for i := range n.Branches {
		if slices.Contains(kinds, n.Branches[i].Type) {
			return &n.Branches[i]
		}
	}
	return n
}

func decimalScale(n *avro.SchemaNode) int {
	for i := range n.Branches {
		if n.Branches[i].LogicalType == "decimal" {
			return n.Branches[i].Scale
		}
	}
	return n.Scale
}
