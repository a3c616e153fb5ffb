// Package invoicecommand turns issued CRM invoices into billing commands.
package invoicecommand

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"holdfast.internal"
	"holdfast.internal/processors"
	"holdfast.internal/schemas/billing"
	"holdfast.internal/schemas/crm"
)

// What an invoice is refused for.
var (
	ErrNoLines       = errors.New("invoice has no lines")
	ErrQuantity      = errors.New("quantity must be at least 1")
	ErrTotal         = errors.New("total is not the sum of the lines")
	ErrNegativeTotal = errors.New("total must not be negative")
	ErrCurrency      = errors.New("currency must be three letters")
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
	lines, err := commandLines(in)
	if err != nil {
		return nil, refuse(err)
	}
	if len(in.Currency) != 3 {
		return nil, refuse(ErrCurrency)
	}
	days, err := daysUntilDue(in.IssuedAt, in.DueAt)
	if err != nil {
		return nil, refuse(err)
	}
	return []billing.InvoiceCommand{{
		InvoiceID:    in.ID,
		Description:  text("Invoice " + in.Number),
		Currency:     strings.ToLower(in.Currency),
		DaysUntilDue: days,
		Customer: billing.BillTo{
			ID: in.Customer.ID, Name: text(in.Customer.Name), Email: text(in.Customer.Email), Phone: in.Customer.Phone,
		},
		Lines: lines,
	}}, nil
}

func commandLines(in crm.Invoice) ([]billing.CommandLine, error) {
	if len(in.Lines) == 0 {
		return nil, ErrNoLines
	}
	lines := make([]billing.CommandLine, len(in.Lines))
	sum := new(big.Rat)
	for i, l := range in.Lines {
		if l.Quantity < 1 {
			return nil, fmt.Errorf("lines[%d]: %w", i, ErrQuantity)
		}
		amount := new(big.Rat).Mul(l.UnitAmount, big.NewRat(int64(l.Quantity), 1))
		sum.Add(sum, amount)
		lines[i] = billing.CommandLine{Description: text(fmt.Sprintf("%d x %s", l.Quantity, l.Description)), Amount: amount}
	}
	if sum.Cmp(in.Total) != 0 {
		return nil, ErrTotal
	}
	if sum.Sign() < 0 {
		return nil, ErrNegativeTotal
	}
	return lines, nil
}

// daysUntilDue counts whole days, at least one.
func daysUntilDue(issued, due time.Time) (int32, error) {
	if due.Before(issued) {
		return 0, ErrDueDate
	}
	const day = 24 * time.Hour
	return int32(min(max(1, due.Sub(issued)/day), 3650)), nil //nolint:gosec // at most ten years
}

func refuse(err error) error { return holdfast.Permanent(holdfast.ClassTransform, "invoice", err) }

// text is a nullable field; empty is null.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
