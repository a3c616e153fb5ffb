package schemas_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"holdfast.internal"
	"holdfast.internal/schemas"
	"holdfast.internal/schemas/crm"
)

func invoice() crm.Invoice {
	phone := "+49 30 1234567"
	return crm.Invoice{
		ID: "inv_1", Number: "2026-000001", Status: crm.InvoiceStatusIssued,
		Customer: crm.Customer{
			ID: "cus_1", Name: "Ana Lima", Email: "ana@example.com", Phone: &phone,
			Address: crm.Address{Line1: "Hauptstr. 1", City: "Berlin", PostalCode: "10115", Country: "DE"},
		},
		IssuedAt: time.UnixMilli(1_764_000_000_000).UTC(), DueAt: time.UnixMilli(1_766_000_000_000).UTC(),
		Currency: "EUR",
		Lines: []crm.InvoiceLine{
			{Sku: "A-1", Description: "Widget", Quantity: 3, UnitAmount: big.NewRat(1999, 100), TaxRate: big.NewRat(19, 100)},
			{Sku: "B-2", Description: "Refund", Quantity: 1, UnitAmount: big.NewRat(-500, 100), TaxRate: new(big.Rat)},
		},
		Total: big.NewRat(5497, 100), Metadata: map[string]string{"team": "north"},
	}
}

func encoded(tb testing.TB) []byte {
	tb.Helper()
	var encoders schemas.Encoders
	enc, err := encoders.For("crm.Invoice")
	if err != nil {
		tb.Fatal(err)
	}
	in := invoice()
	body, err := enc.Encode(&in)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func reader(tb testing.TB, record string, version int) *schemas.Reader {
	tb.Helper()
	versions, err := schemas.Versions(schemas.Files(), record)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := schemas.NewReader(versions[version-1].Text)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestWhatHambaEncodesTwmbDecodesAlike(t *testing.T) {
	t.Parallel()
	var got crm.Invoice
	if err := reader(t, "crm.Invoice", 2).Value(encoded(t)).Decode(&got); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(invoice())
	have, _ := json.Marshal(got)
	if string(want) != string(have) {
		t.Fatalf("got  %s\nwant %s", have, want)
	}
}

func TestPlainJSONRoundTrips(t *testing.T) {
	t.Parallel()
	body := encoded(t)
	text, err := reader(t, "crm.Invoice", 2).Value(body).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"total":"54.97"`, `"issued_at":"2025-11-24T16:00:00Z"`, `"phone":"+49 30 1234567"`, `"unit_amount":"-5.00"`, `"purchase_order":null`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	latest, err := schemas.Latest("crm.Invoice")
	if err != nil {
		t.Fatal(err)
	}
	again, err := schemas.EncodeJSON(latest, text)
	if err != nil {
		t.Fatal(err)
	}
	// Not compared by bytes: the two libraries spell a decimal 0 differently.
	textAgain, err := reader(t, "crm.Invoice", 2).Value(again).JSON()
	if err != nil {
		t.Fatal(err)
	}
	if string(textAgain) != string(text) {
		t.Fatalf("JSON out and in again: %s, was %s", textAgain, text)
	}
}

func TestP12MaskedJSONShowsNothingPersonal(t *testing.T) {
	t.Parallel()
	text, err := reader(t, "crm.Invoice", 2).Value(encoded(t)).MaskedJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, canary := range []string{"Ana", "example.com", "1234567", "Hauptstr", "Berlin", "10115"} {
		if strings.Contains(string(text), canary) {
			t.Errorf("%s in %s", canary, text)
		}
	}
	if !strings.Contains(string(text), `"country":"DE"`) {
		t.Errorf("what is not personal is hidden too: %s", text)
	}
}

func TestAvroJSONIsTakenToo(t *testing.T) {
	t.Parallel()
	latest, err := schemas.Latest("inventory.Shipment")
	if err != nil {
		t.Fatal(err)
	}
	plain := `{"id":"s1","order_id":"o1","version":3,"status":"SHIPPED","carrier":"DHL","items":[{"sku":"a","quantity":2}],"weight_kg":"0.250","shipped_at":"2026-11-24T09:00:00Z","updated_at":1764000000000,"recipient":"r","destination_country":"DE"}`
	avroJSON := `{"id":"s1","order_id":"o1","version":3,"status":"SHIPPED","carrier":"DHL","items":[{"sku":"a","quantity":2}],"weight_kg":"\u0000\u00fa","shipped_at":{"long":1795510800000},"updated_at":1764000000000,"recipient":"r","destination_country":"DE"}`
	a, err := schemas.EncodeJSON(latest, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	b, err := schemas.EncodeJSON(latest, []byte(avroJSON))
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Fatal("the two spellings give different bytes")
	}
}

func TestEveryBrokenFieldIsNamed(t *testing.T) {
	t.Parallel()
	latest, err := schemas.Latest("inventory.Shipment")
	if err != nil {
		t.Fatal(err)
	}
	_, err = schemas.EncodeJSON(latest, []byte(`{"id":7,"version":1.5,"status":"LOST","carrier":"c","items":[{"sku":"secret-sku"}],"weight_kg":"1.2345","updated_at":"yesterday","recipient":"r","destination_country":"DE","colour":"red"}`))
	if v, f := holdfast.Judge(err); v != holdfast.VerdictPermanent || f.Class != holdfast.ClassValidation {
		t.Fatalf("verdict %s class %s", v, f.Class)
	}
	for _, want := range []string{
		"id: must be a string, is a number", "order_id: is missing", "version: must be a whole number", "status: must be one of CREATED",
		"items[0].quantity: is missing", "weight_kg: must have at most 3 digits", "updated_at: must be a time", "colour: is no field of inventory.Shipment",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret-sku") || strings.Contains(err.Error(), "yesterday") {
		t.Errorf("a value leaked: %v", err)
	}
}

func TestP8EveryPrefixOfAnInvoiceIsRefused(t *testing.T) {
	t.Parallel()
	body := encoded(t)
	r := reader(t, "crm.Invoice", 2)
	for n := range body {
		var got crm.Invoice
		if err := r.Value(body[:n]).Decode(&got); err == nil {
			t.Errorf("prefix of %d of %d bytes was accepted", n, len(body))
		}
		if _, err := r.Value(body[:n]).Fields(); err == nil {
			t.Errorf("prefix of %d of %d bytes was accepted as fields", n, len(body))
		}
	}
}

// A processor that forgets a decimal must not bring its worker down.
func TestP8AValueWithAHoleIsRefused(t *testing.T) {
	t.Parallel()
	var encoders schemas.Encoders
	enc, err := encoders.For("crm.Invoice")
	if err != nil {
		t.Fatal(err)
	}
	in := invoice()
	in.Total = nil
	for name, v := range map[string]any{"a nil decimal": in, "no value at all": nil, "another type": 7, "a symbol that is none": func() any {
		other := invoice()
		other.Status = "LOST"
		return &other
	}()} {
		_, err := enc.Encode(v)
		if verdict, f := holdfast.Judge(err); verdict != holdfast.VerdictPermanent || f.Code != "unencodable" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// varint spells n as Avro does.
func varint(n int64) []byte {
	u := uint64(n)<<1 ^ uint64(n>>63)
	var b []byte
	for u >= 0x80 {
		b = append(b, byte(u)|0x80)
		u >>= 7
	}
	return append(b, byte(u))
}

func TestP8HostilePayloadsAreRefusedQuicklyAndCheaply(t *testing.T) { //nolint:paralleltest // measures allocations of the process
	record := func(fields string) string {
		return `{"type":"record","namespace":"t","name":"T","fields":[` + fields + `]}`
	}
	field := func(typ string) string { return record(`{"name":"f","type":` + typ + `}`) }
	tests := map[string]struct {
		schema string
		body   []byte
	}{
		"empty payload":               {field(`"string"`), nil},
		"string of 2^40 bytes":        {field(`"string"`), varint(1 << 40)},
		"string of negative length":   {field(`"string"`), varint(-1)},
		"bytes of 2^62":               {field(`"bytes"`), varint(1 << 62)},
		"array of 2^40 nulls":         {field(`{"type":"array","items":"null"}`), varint(1 << 40)},
		"array of minint blocks":      {field(`{"type":"array","items":"int"}`), varint(-1 << 63)},
		"array of 2^40 ints":          {field(`{"type":"array","items":"int"}`), varint(1 << 40)},
		"map of 2^40 entries":         {field(`{"type":"map","values":"null"}`), varint(1 << 40)},
		"union index 2^40":            {field(`["null","string"]`), varint(1 << 40)},
		"union index -1":              {field(`["null","string"]`), varint(-1)},
		"enum index 2^31":             {field(`{"type":"enum","name":"E","symbols":["A"]}`), varint(1 << 31)},
		"enum index -1":               {field(`{"type":"enum","name":"E","symbols":["A"]}`), varint(-1)},
		"varint of 11 bytes":          {field(`"long"`), []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}},
		"int beyond 32 bits":          {field(`"int"`), varint(1 << 40)},
		"trailing bytes":              {field(`"int"`), []byte{2, 0}},
		"recursion of 20 M records":   {record(`{"name":"f","type":["null","T"]}`), bytes.Repeat([]byte{2}, 20_000_000)},
		"recursion of 20 M in lists":  {record(`{"name":"f","type":{"type":"array","items":"T"}}`), bytes.Repeat([]byte{2}, 20_000_000)},
		"recursion of 20 M in maps":   {record(`{"name":"f","type":{"type":"map","values":"T"}}`), bytes.Repeat([]byte{2, 0}, 10_000_000)},
		"blocks of nulls without end": {field(`{"type":"array","items":"null"}`), bytes.Repeat(varint(1<<40), 1000)},
		"negative count, size 2^40":   {field(`{"type":"array","items":"int"}`), append(varint(-1<<20), varint(1<<40)...)},
		"map of minint blocks":        {field(`{"type":"map","values":"int"}`), varint(-1 << 63)},
		"map key of 2^40 bytes":       {field(`{"type":"map","values":"int"}`), append(varint(1), varint(1<<40)...)},
		"a fixed cut short":           {field(`{"type":"fixed","name":"F","size":16}`), []byte{1, 2, 3}},
		"a fixed of 2^30":             {field(`{"type":"fixed","name":"F","size":1073741824}`), []byte{1, 2, 3}},
		"a double cut short":          {field(`"double"`), []byte{1, 2, 3}},
		"a decimal of 2^40 bytes":     {field(`{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}`), varint(1 << 40)},
	}
	for name, test := range tests { //nolint:paralleltest // memory is measured, of this test alone
		t.Run(name, func(t *testing.T) {
			r, err := schemas.NewReader(test.schema)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = r.Value(test.body).Fields() // what is made once per schema is not the payload's doing
			var before, after runtime.MemStats
			best := time.Hour
			for range 20 {
				runtime.ReadMemStats(&before)
				began := time.Now()
				_, err = r.Value(test.body).Fields()
				best = min(best, time.Since(began))
				runtime.ReadMemStats(&after)
			}
			var p *holdfast.PermanentError
			if !errors.As(err, &p) || p.Class != holdfast.ClassPoison || p.Code != "undecodable" {
				t.Fatalf("err = %v", err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
				t.Errorf("allocated %d bytes", used)
			}
			if best > slowdown*time.Millisecond {
				t.Errorf("took %s", best)
			}
		})
	}
}

// TestP8AnUndecodableValueSaysWhere: the field and the reason, and nothing that
// reads as if the schema were wrong.
func TestP8AnUndecodableValueSaysWhere(t *testing.T) {
	t.Parallel()
	inner := `{"type":"record","name":"In","fields":[{"name":"deep","type":"double"}]}`
	r, err := schemas.NewReader(`{"type":"record","name":"Out","fields":[{"name":"first","type":"int"},{"name":"inner","type":` + inner + `}]}`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Value([]byte{2, 1, 2, 3}).Fields()
	if text := fmt.Sprint(err); !strings.Contains(text, "field inner.deep: ") || strings.Contains(text, "unsupported") {
		t.Errorf("%s", text)
	}
}

func TestP10EmbeddedSchemasAreCompatible(t *testing.T) {
	t.Parallel()
	findings, err := schemas.Check(schemas.Files(), "schemas/")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

func TestP10BreakingChangesAreRefused(t *testing.T) {
	t.Parallel()
	base := `{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}]}`
	tests := map[string]struct {
		next string
		ok   bool
	}{
		"a field with a default is added":        {`{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"b","type":"int","default":0}]}`, true},
		"a field without a default is added":     {`{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"b","type":"int"}]}`, false},
		"a field without a default is removed":   {`{"type":"record","name":"R","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}]}`, false},
		"a type changes":                         {`{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}]}`, false},
		"a symbol is removed":                    {`{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X"]}}]}`, false},
		"a field is renamed without an alias":    {`{"type":"record","name":"R","fields":[{"name":"z","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}]}`, false},
		"documentation is all that was changed":  {`{"type":"record","name":"R","doc":"d","fields":[{"name":"a","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}]}`, true},
		"a string becomes a union with a string": {`{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"]},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}]}`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := schemas.CheckAgainst(schemas.FullTransitive, base, test.next)
			if (err == nil) != test.ok {
				t.Fatalf("err = %v", err)
			}
		})
	}
}

// FuzzHambaAndTwmbAgree feeds both libraries the same bytes: what twmb accepts
// hamba reads alike, within the bounds that protect hamba from it.
func FuzzHambaAndTwmbAgree(f *testing.F) {
	body := encoded(f)
	f.Add(body)
	f.Add(body[:len(body)/2])
	f.Add(append(slices.Clip(body), 0))
	r := reader(f, "crm.Invoice", 2)
	latest, err := schemas.Latest("crm.Invoice")
	if err != nil {
		f.Fatal(err)
	}
	schema := avro.MustParse(latest.Text)
	api := avro.Config{MaxByteSliceSize: 1 << 16, MaxSliceAllocSize: 1 << 16}.Freeze()
	f.Fuzz(func(t *testing.T, b []byte) {
		var ours, theirs crm.Invoice
		if r.Value(b).Decode(&ours) != nil || len(b) > 1<<16 {
			return
		}
		if err := api.Unmarshal(schema, b, &theirs); err != nil {
			return // hamba is stricter about sizes and map keys; it is no oracle of refusal
		}
		a, errA := json.Marshal(ours)
		c, errB := json.Marshal(theirs)
		if errA == nil && errB == nil && string(a) != string(c) {
			t.Fatalf("twmb %s\nhamba %s", a, c)
		}
	})
}

func BenchmarkDecodeInvoice(b *testing.B) {
	body := encoded(b)
	r := reader(b, "crm.Invoice", 2)
	latest, err := schemas.Latest("crm.Invoice")
	if err != nil {
		b.Fatal(err)
	}
	schema := avro.MustParse(latest.Text)
	b.Run("twmb", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v crm.Invoice
			if err := r.Value(body).Decode(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("yardstick=hamba", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v crm.Invoice
			if err := avro.Unmarshal(schema, body, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
