package stripe

import (
	"errors"
	"fmt"
	"math/big"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// Fields lists those without which [decode] makes no invoice.
func (Config) Fields() []sinks.Field {
	text, whole := []string{"string", "enum"}, []string{"int", "long"}
	return []sinks.Field{
		{Path: "invoice_id", Types: text},
		{Path: "currency", Types: text},
		{Path: "days_until_due", Types: whole},
		{Path: "customer.id", Types: text},
		{Path: "lines[].amount", Types: []string{"decimal"}},
	}
}

// decode reads a record of the shape of billing.InvoiceCommand by the names of
// its fields, so that any record with these fields will do.
func decode(v holdfast.Value) (invoice, error) {
	if v == nil {
		return invoice{}, holdfast.Permanent(holdfast.ClassValidation, "tombstone", errors.New("a record without a value makes no invoice"))
	}
	fields, err := v.Fields()
	if err != nil {
		return invoice{}, err
	}
	r := record{fields: fields}
	who := r.record("customer")
	inv := invoice{
		number: r.text("invoice_id"), description: r.optional("description"), currency: r.text("currency"), daysDue: r.integer("days_until_due"),
		customer: customer{ref: who.text("id"), name: who.optional("name"), email: who.optional("email"), phone: who.optional("phone")},
	}
	r.take(who)
	for _, item := range r.records("lines") {
		inv.lines = append(inv.lines, line{description: item.optional("description"), amount: item.decimal("amount")})
		r.take(item)
	}
	if r.err != nil {
		return invoice{}, holdfast.Permanent(holdfast.ClassValidation, "command", r.err)
	}
	return inv, nil
}

// record reads fields and keeps the first that is not as it should be.
type record struct {
	path   string
	fields map[string]any
	err    error
}

func (r *record) refuse(name, want string) {
	r.take(record{err: fmt.Errorf("field %s%s must be %s", r.path, name, want)})
}

// take keeps the first error of a nested record.
func (r *record) take(nested record) {
	if r.err == nil {
		r.err = nested.err
	}
}

func (r *record) text(name string) string {
	s, _ := r.fields[name].(string)
	if s == "" {
		r.refuse(name, "a text")
	}
	return s
}

func (r *record) optional(name string) string {
	s, ok := r.fields[name].(string)
	if !ok && r.fields[name] != nil {
		r.refuse(name, "a text or null")
	}
	return s
}

func (r *record) integer(name string) int64 {
	switch n := r.fields[name].(type) {
	case int64:
		return n
	case int32:
		return int64(n)
	case int:
		return int64(n)
	}
	r.refuse(name, "a whole number")
	return 0
}

func (r *record) decimal(name string) *big.Rat {
	d, ok := r.fields[name].(*big.Rat)
	if !ok || d == nil {
		r.refuse(name, "a decimal")
	}
	return d
}

func (r *record) record(name string) record {
	m, ok := r.fields[name].(map[string]any)
	nested := record{path: r.path + name + ".", fields: m}
	if !ok {
		nested.refuse("", "a record")
	}
	return nested
}

func (r *record) records(name string) []record {
	list, ok := r.fields[name].([]any)
	if !ok {
		r.refuse(name, "a list")
	}
	nested := make([]record, len(list))
	for i, item := range list {
		m, _ := item.(map[string]any)
		nested[i] = record{path: fmt.Sprintf("%s%s[%d].", r.path, name, i), fields: m}
	}
	return nested
}
