package stripe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"holdfast.internal"
)

// invoice is a command as this sink needs it, whatever the record is called.
type invoice struct {
	number      string // upstream's name for the invoice
	description string
	currency    string
	daysDue     int64
	customer    customer
	lines       []line
}

type customer struct {
	ref, name, email, phone string
}

type line struct {
	description string
	amount      *big.Rat // of the whole line, in the currency's major unit
}

// plan is the rendered request of one event: every step as it will be sent,
// but for the ids that only earlier steps can give. It is what is frozen, so it
// holds no credentials.
type plan struct {
	Version  int      `json:"v"`
	Customer identity `json:"customer"`
	Steps    []step   `json:"steps"`
}

// identity is what tells customers apart at Stripe.
type identity struct {
	Ref   string `json:"ref"`
	Email string `json:"email,omitempty"`
}

// step is one write. Path and Form may hold {customer} and {invoice}.
type step struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Form string `json:"form"`
}

const (
	planVersion  = 1
	customerStep = "customer"
	invoiceStep  = "invoice"
	finalizeStep = "finalize"
	itemStep     = "item-"

	metaEvent    = "holdfast_event_id"
	metaStep     = "holdfast_step"
	metaCustomer = "holdfast_customer"
	metaNumber   = "holdfast_invoice"

	maxItems     = 250 // Stripe's bound for one invoice
	maxMetaValue = 500
)

// render turns an invoice into its steps. Its errors are permanent: no retry
// makes an amount fit its currency.
func render(inv invoice, eventID string) (*plan, error) {
	if err := inv.check(); err != nil {
		return nil, err
	}
	p := &plan{Version: planVersion, Customer: identity{Ref: inv.customer.ref, Email: inv.customer.email}}
	p.add(customerStep, "/v1/customers", inv.customer.form())
	p.add(invoiceStep, "/v1/invoices", form{
		"customer": reference(customerStep), "currency": strings.ToLower(inv.currency), "auto_advance": false,
		"collection_method": "send_invoice", "days_until_due": inv.daysDue, "pending_invoice_items_behavior": "exclude",
		"description": optional(inv.description), "metadata": meta(eventID, invoiceStep, metaNumber, inv.number),
	})
	for i, l := range inv.lines {
		amount, err := minorUnits(l.amount, inv.currency)
		if err != nil {
			return nil, holdfast.Permanent(holdfast.ClassValidation, "amount", fmt.Errorf("line %d: %w", i+1, err))
		}
		name := itemStep + strconv.Itoa(i+1)
		p.add(name, "/v1/invoiceitems", form{
			"customer": reference(customerStep), "invoice": reference(invoiceStep), "currency": strings.ToLower(inv.currency),
			"amount": amount, "description": optional(l.description), "metadata": meta(eventID, name),
		})
	}
	p.add(finalizeStep, "/v1/invoices/{invoice}/finalize", form{"auto_advance": false})
	return p, nil
}

func (p *plan) add(name, path string, f form) {
	p.Steps = append(p.Steps, step{Name: name, Path: path, Form: f.encode()})
}

func (inv invoice) check() error {
	refuse := func(text string) error {
		return holdfast.Permanent(holdfast.ClassValidation, "command", errors.New(text))
	}
	switch {
	case inv.customer.ref == "":
		return refuse("the command names no customer")
	case len(inv.currency) != 3:
		return refuse("the command's currency is no three-letter code")
	case len(inv.lines) == 0 || len(inv.lines) > maxItems:
		return refuse(fmt.Sprintf("the command has %d lines, and an invoice 1 to %d", len(inv.lines), maxItems))
	}
	return nil
}

// form holds no event id: the customer is shared by events, and only equal
// bytes may share its key.
func (c customer) form() form {
	return form{
		"name": optional(c.name), "email": optional(c.email), "phone": optional(c.phone),
		"metadata": form{metaCustomer: truncate(c.ref), metaStep: customerStep},
	}
}

func meta(eventID, name string, more ...string) form {
	f := form{metaEvent: truncate(eventID), metaStep: name}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			f[more[i]] = truncate(more[i+1])
		}
	}
	return f
}

// optional leaves an empty text out: Stripe reads "" as "unset this".
func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func truncate(s string) string {
	if len(s) <= maxMetaValue {
		return s
	}
	return strings.ToValidUTF8(s[:maxMetaValue], "")
}

func (p *plan) freeze() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("freeze the request: %w", err)
	}
	return b.Bytes(), nil
}

var errFrozen = errors.New("frozen request is of another version")

func thaw(frozen []byte) (*plan, error) {
	var p plan
	if err := json.Unmarshal(frozen, &p); err != nil || p.Version != planVersion || len(p.Steps) == 0 {
		return nil, errFrozen
	}
	return &p, nil
}
