package schemas_test

import (
	"slices"
	"testing"

	"holdfast.internal/schemas"
)

// TestTypeOf: a path finds its field through records, lists, maps and unions
// with null, and what is wrong in it is told from what stands beside.
func TestTypeOf(t *testing.T) {
	t.Parallel()
	const schema = `{"type": "record", "namespace": "crm", "name": "Invoice", "fields": [
		{"name": "id", "type": "string"},
		{"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["DRAFT", "PAID"]}},
		{"name": "before", "type": ["null", "Status"]},
		{"name": "customer", "type": {"type": "record", "name": "Customer", "fields": [
			{"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
			{"name": "phone", "type": ["null", "string"]}]}},
		{"name": "payer", "type": ["Customer", "null"]},
		{"name": "partner", "type": ["Customer", "string"]},
		{"name": "paid_at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
		{"name": "version", "type": {"type": "long", "logicalType": "acme-counter"}},
		{"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
			{"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}}]}}},
		{"name": "metadata", "type": {"type": "map", "values": "int"}}]}`
	for name, c := range map[string]struct{ path, want, near string }{
		"a field":                                {"id", "string", ""},
		"an enum":                                {"status", "enum", ""},
		"a type that is named":                   {"before", "enum", ""},
		"a record":                               {"customer", "record", ""},
		"a logical type that is a text":          {"customer.id", "string", ""},
		"what may be null":                       {"customer.phone", "string", ""},
		"a field of a named type, or null":       {"payer.phone", "string", ""},
		"one of several types":                   {"partner", "union", ""},
		"a field of one of several types":        {"partner.phone", "union", ""},
		"a time that may be null":                {"paid_at", "timestamp-millis", ""},
		"a logical type of somebody's own":       {"version", "long", ""},
		"a list":                                 {"lines", "array", ""},
		"an item of a list":                      {"lines[]", "record", ""},
		"a field of the items":                   {"lines[].amount", "decimal", ""},
		"whatever a map holds":                   {"metadata.anything", "int", ""},
		"a list has no names":                    {"lines.amount", "", ""},
		"a text has no fields":                   {"id.x", "", ""},
		"a wrong name":                           {"custmer", "", "customer"},
		"a wrong name above":                     {"custmer.id", "", "customer.id"},
		"a wrong name below":                     {"customer.idd", "", "customer.id"},
		"a wrong name above the items of a list": {"line[].amount", "", "lines[].amount"},
		"a wrong name in the items":              {"lines[].amonut", "", "lines[].amount"},
		"nothing":                                {"", "", "id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, near := schemas.TypeOf(schema, c.path)
			if got != c.want || (c.near != "" && !slices.Contains(near, c.near)) || (c.near == "" && near != nil) {
				t.Errorf("%q, near %q; want %q, near %q", got, near, c.want, c.near)
			}
		})
	}
	if got, _ := schemas.TypeOf("{", "id"); got != "" {
		t.Errorf("%q of what is no schema", got)
	}
}
