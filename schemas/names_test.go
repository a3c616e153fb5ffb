package schemas_test

import (
	"math/big"
	"testing"

	"github.com/twmb/avro"

	"holdfast.internal/schemas"
)

// TestP12ATypeThatIsNamedIsMaskedToo: a type is spelled out once in a schema;
// where only its name stands, in whichever form, values look the same.
func TestP12ATypeThatIsNamedIsMaskedToo(t *testing.T) {
	t.Parallel()
	const payer = `{"type": "record", "name": "Payer", "fields": [
		{"name": "name", "type": "string", "pii": "name"},
		{"name": "owes", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
		{"name": "by", "type": ["null", "Payer"], "default": null}]}`
	const shop = `{"type": "record", "name": "Shop", "fields": [{"name": "name", "type": "string"}, {"name": "vat", "type": "string", "pii": "id"}]}`
	ana := func(by any) map[string]any {
		return map[string]any{"name": "Ana", "owes": big.NewRat(120, 1), "by": by}
	}
	const masked = `{"name":"***","owes":"120.00","by":null}`
	for name, c := range map[string]struct {
		kind, want string
		value      any
	}{
		"by its name":              {`"Payer"`, masked, ana(nil)},
		"by its full name":         {`"acme.Payer"`, masked, ana(nil)},
		"or null":                  {`["null", "Payer"]`, masked, ana(nil)},
		"in a list":                {`{"type": "array", "items": "Payer"}`, "[" + masked + "]", []any{ana(nil)}},
		"in itself":                {`"Payer"`, `{"name":"***","owes":"120.00","by":` + masked + `}`, ana(ana(nil))},
		"one of two, the second":   {`["Payer", ` + shop + `]`, `{"name":"Bodega","vat":"***"}`, map[string]any{"name": "Bodega", "vat": "7"}},
		"one of two, the first":    {`["Payer", ` + shop + `]`, masked, ana(nil)},
		"by its name, in a record": {`{"type": "record", "name": "Other", "namespace": "other", "fields": [{"name": "x", "type": "acme.Payer"}]}`, `{"x":` + masked + `}`, map[string]any{"x": ana(nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := `{"type": "record", "name": "Bill", "namespace": "acme", "fields": [{"name": "first", "type": ` + payer + `}, {"name": "second", "type": ` + c.kind + `}]}`
			schema, err := avro.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			body, err := schema.Encode(map[string]any{"first": ana(nil), "second": c.value})
			if err != nil {
				t.Fatal(err)
			}
			reader, err := schemas.NewReader(text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := reader.Value(body).MaskedJSON()
			want := `{"first":` + masked + `,"second":` + c.want + `}`
			if err != nil || string(got) != want {
				t.Errorf("got  %s, %v\nwant %s", got, err, want)
			}
		})
	}
}
