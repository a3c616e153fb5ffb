// Package invoicecommand turns issued CRM invoices into billing commands.
//
// Only ISSUED invoices are billed; drafts, paid and void ones make nothing.
// What does not add up is refused, so that a wrong invoice is a dead letter
// here, where its author can be told, and not a wrong charge.
package invoicecommand

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/text/currency"

	"holdfast.internal"
	"holdfast.internal/processors"
	"holdfast.internal/schemas/billing"
	"holdfast.internal/schemas/crm"
)

// What an invoice is refused for.
var (
	ErrNoID          = errors.New("invoice has no id")
	ErrNoCustomer    = errors.New("invoice has no customer id")
	ErrNoLines       = errors.New("invoice has no lines")
	ErrQuantity      = errors.New("quantity must be at least 1")
	ErrTotal         = errors.New("total is not the sum of the lines")
	ErrNegativeTotal = errors.New("total must not be negative")
	ErrCurrency      = errors.New("unknown currency")
	ErrDueDate       = errors.New("due before it is issued")
)

// New returns the processor. Outputs are keyed by customer, since a vendor
// bills one customer's invoices one after the other.
func New() processors.Processor {
	return processors.Map(Process, func(c billing.InvoiceCommand) string { return c.Customer.ID })
}

// Process maps one issued invoice to one command, and any other to none.
func Process(_ context.Context, in crm.Invoice) ([]billing.InvoiceCommand, error) {
	if in.Status != crm.InvoiceStatusIssued {
		return nil, nil
	}
	if code, err := check(in); err != nil {
		return nil, holdfast.Permanent(holdfast.ClassTransform, code, err)
	}
	return []billing.InvoiceCommand{{
		InvoiceID:    in.ID,
		Description:  text("Invoice " + in.Number),
		Currency:     strings.ToLower(in.Currency),
		DaysUntilDue: daysUntilDue(in.IssuedAt, in.DueAt),
		Customer: billing.BillTo{
			ID: in.Customer.ID, Name: text(in.Customer.Name), Email: text(in.Customer.Email), Phone: in.Customer.Phone,
		},
		Lines: commandLines(in.Lines),
	}}, nil
}

// check returns the first rule that the invoice breaks, and the code that
// dead letters are grouped and filtered by.
func check(in crm.Invoice) (code string, err error) {
	switch {
	case in.ID == "":
		return "no_id", ErrNoID
	case in.Customer.ID == "":
		return "no_customer", ErrNoCustomer
	case len(in.Lines) == 0:
		return "no_lines", ErrNoLines
	case !knownCurrency(in.Currency):
		return "unknown_currency", ErrCurrency
	case in.DueAt.Before(in.IssuedAt):
		return "due_date", ErrDueDate
	}
	for i, l := range in.Lines {
		if l.Quantity < 1 {
			return "quantity", fmt.Errorf("lines[%d]: %w", i, ErrQuantity)
		}
	}
	sum := total(in.Lines)
	if sum.Cmp(in.Total) != 0 {
		return "total", ErrTotal
	}
	if sum.Sign() < 0 {
		return "negative_total", ErrNegativeTotal
	}
	return "", nil
}

// knownCurrency knows ISO 4217 but for its codes of no currency and for tests.
func knownCurrency(code string) bool {
	unit, err := currency.ParseISO(code)
	return err == nil && unit != currency.XXX && unit != currency.XTS
}

func total(lines []crm.InvoiceLine) *big.Rat {
	sum := new(big.Rat)
	for _, l := range lines {
		sum.Add(sum, amount(l))
	}
	return sum
}

func amount(l crm.InvoiceLine) *big.Rat {
	return new(big.Rat).Mul(l.UnitAmount, big.NewRat(int64(l.Quantity), 1))
}

func commandLines(in []crm.InvoiceLine) []billing.CommandLine {
	lines := make([]billing.CommandLine, len(in))
	for i, l := range in {
		lines[i] = billing.CommandLine{Description: text(fmt.Sprintf("%d x %s", l.Quantity, l.Description)), Amount: amount(l)}
	}
	return lines
}

// daysUntilDue counts whole days, at least one and at most ten years.
func daysUntilDue(issued, due time.Time) int32 {
	const day = 24 * time.Hour
	return int32(min(max(1, due.Sub(issued)/day), 3650))
}

// text is a nullable field; empty is null.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
