package stripe

import (
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast.internal"
	"holdfast.internal/sinks/sinktest"
)

func TestFormIsEncodedAsStripesOwnClientsDo(t *testing.T) {
	t.Parallel()
	f := form{
		"amount": int64(1999), "currency": "usd", "customer": "cus_1", "description": "a b&c=d",
		"discounts": []any{form{"coupon": "c1"}}, "metadata": form{"event id": "x/1", "k": ""},
		"period": form{"start": int64(1), "end": int64(2)}, "tax_rates": []any{"t1", "t2"},
	}
	const want = "amount=1999&currency=usd&customer=cus_1&description=a+b%26c%3Dd&discounts[0][coupon]=c1&metadata[event+id]=x%2F1&metadata[k]=" +
		"&period[end]=2&period[start]=1&tax_rates[0]=t1&tax_rates[1]=t2"
	if got := f.encode(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestFieldsAreThoseThatDecodeNeeds: what Fields lists must be there, and
// nothing else must.
func TestFieldsAreThoseThatDecodeNeeds(t *testing.T) {
	t.Parallel()
	whole := func() (fields, customer, line map[string]any) {
		customer = map[string]any{"id": "c", "name": "n", "email": "e", "phone": "p"}
		line = map[string]any{"amount": big.NewRat(1, 1), "description": "d"}
		return map[string]any{
			"invoice_id": "i", "currency": "EUR", "days_until_due": int32(1), "description": "d", "customer": customer, "lines": []any{line},
		}, customer, line
	}
	needed := map[string]bool{}
	for _, f := range (Config{}).Fields() {
		needed[f.Path] = true
	}
	fields, customer, line := whole()
	for prefix, of := range map[string]map[string]any{"": fields, "customer.": customer, "lines[].": line} {
		for name := range of {
			if name == "customer" || name == "lines" { // their fields are listed
				continue
			}
			without, c, l := whole()
			delete(map[string]map[string]any{"": without, "customer.": c, "lines[].": l}[prefix], name)
			if _, err := decode(sinktest.Value{Record: without}); (err != nil) != needed[prefix+name] {
				t.Errorf("without %s%s: %v, and Fields lists it: %v", prefix, name, err, needed[prefix+name])
			}
			delete(needed, prefix+name)
		}
	}
	if len(needed) > 0 {
		t.Errorf("no such fields: %v", needed)
	}
}

func TestNoTextPassesForAReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"{invoice}", "{customer}", "%7Binvoice%7D", "a}{b"})).Draw(t, "text")
		encoded := progress{Customer: "cus_1", Invoice: "in_1"}.fill(form{"a": text, "b": reference("invoice")}.encode())
		values, err := url.ParseQuery(encoded)
		if err != nil || values.Get("a") != text || values.Get("b") != "in_1" {
			t.Fatalf("%q became %q (%v)", text, encoded, err)
		}
	})
}

func TestMinorUnitsAreExact(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		amount, currency string
		want             int64
		ok               bool
	}{
		"cents":                                 {"19.99", "usd", 1999, true},
		"capitals":                              {"19.99", "EUR", 1999, true},
		"what floats get wrong":                 {"1.15", "usd", 115, true},
		"a credit":                              {"-0.01", "usd", -1, true},
		"nothing":                               {"0", "usd", 0, true},
		"half a cent":                           {"0.005", "usd", 0, false},
		"yen have no cents":                     {"500", "jpy", 500, true},
		"half a yen":                            {"500.5", "jpy", 0, false},
		"dinars have three decimals":            {"5.120", "kwd", 5120, true},
		"of which Stripe wants the last 0":      {"5.124", "kwd", 0, false},
		"crowns of Iceland count as two":        {"5", "isk", 500, true},
		"but have none":                         {"5.5", "isk", 0, false},
		"shillings of Uganda too":               {"5.01", "ugx", 0, false},
		"more than an int64":                    {"99999999999999999999", "usd", 0, false},
		"a third, which no decimal expresses":   {"1/3", "usd", 0, false},
		"the most that 64 bits of cents can be": {"92233720368547758.07", "usd", 1<<63 - 1, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			amount, _ := new(big.Rat).SetString(tt.amount)
			got, err := minorUnits(amount, tt.currency)
			if (err == nil) != tt.ok || got != tt.want {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func sample() invoice {
	return invoice{
		number: "R-1", description: "November", currency: "EUR", daysDue: 30,
		customer: customer{ref: "c-1", name: "Ada", email: "ada@example.com"},
		lines:    []line{{"one", big.NewRat(1999, 100)}, {"two", big.NewRat(5, 1)}},
	}
}

func TestRenderedSteps(t *testing.T) {
	t.Parallel()
	p, err := render(sample(), "e/1")
	if err != nil {
		t.Fatal(err)
	}
	const want = `customer /v1/customers email=ada%40example.com&metadata[holdfast_customer]=c-1&metadata[holdfast_step]=customer&name=Ada
invoice /v1/invoices auto_advance=false&collection_method=send_invoice&currency=eur&customer={customer}&days_until_due=30&description=November&metadata[holdfast_event_id]=e%2F1&metadata[holdfast_invoice]=R-1&metadata[holdfast_step]=invoice&pending_invoice_items_behavior=exclude
item-1 /v1/invoiceitems amount=1999&currency=eur&customer={customer}&description=one&invoice={invoice}&metadata[holdfast_event_id]=e%2F1&metadata[holdfast_step]=item-1
item-2 /v1/invoiceitems amount=500&currency=eur&customer={customer}&description=two&invoice={invoice}&metadata[holdfast_event_id]=e%2F1&metadata[holdfast_step]=item-2
finalize /v1/invoices/{invoice}/finalize auto_advance=false`
	var lines []string
	for _, s := range p.Steps {
		lines = append(lines, s.Name+" "+s.Path+" "+s.Form)
	}
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhatCannotBecomeAnInvoiceIsPermanent(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*invoice){
		"no customer":        func(i *invoice) { i.customer.ref = "" },
		"no currency":        func(i *invoice) { i.currency = "" },
		"no lines":           func(i *invoice) { i.lines = nil },
		"more than 250":      func(i *invoice) { i.lines = make([]line, 251) },
		"a fraction of cent": func(i *invoice) { i.lines[0].amount = big.NewRat(1, 1000) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inv := sample()
			spoil(&inv)
			_, err := render(inv, "e")
			var permanent *holdfast.PermanentError
			if !errors.As(err, &permanent) || permanent.Class != holdfast.ClassValidation {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzThaw(f *testing.F) {
	p, err := render(sample(), "e")
	if err != nil {
		f.Fatal(err)
	}
	frozen, err := p.freeze()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frozen, progress{Done: 2, Customer: "cus_1", Invoice: "in_1"}.encode())
	f.Fuzz(func(t *testing.T, frozen, kept []byte) {
		if p, err := thaw(frozen); err == nil && len(p.Steps) == 0 {
			t.Fatal("a plan without steps")
		}
		if made := parseProgress(kept); made.Done < 0 || (made.Done > 0 && made.Customer == "") {
			t.Fatalf("progress %+v", made)
		}
	})
}
