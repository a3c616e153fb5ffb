package invoicecommand_test

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdfast.internal/internal/casefile"
	"holdfast.internal/processors/invoicecommand"
	"holdfast.internal/schemas/crm"
)

func TestCases(t *testing.T) {
	t.Parallel()
	casefile.Run(t, invoicecommand.New())
}

// TestNothingIsChargedThatDoesNotAddUp: whatever invoice comes, a command
// charges exactly its total, never less than nothing, and has somebody to charge.
func TestNothingIsChargedThatDoesNotAddUp(t *testing.T) {
	t.Parallel()
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		in := invoice(t)
		made, err := invoicecommand.Process(t.Context(), in)
		if err != nil || len(made) == 0 {
			return
		}
		accepted++
		sum := new(big.Rat)
		for _, l := range made[0].Lines {
			sum.Add(sum, l.Amount)
		}
		if len(made) != 1 || sum.Cmp(in.Total) != 0 || sum.Sign() < 0 || made[0].Customer.ID == "" || made[0].InvoiceID == "" || made[0].DaysUntilDue < 1 {
			t.Fatalf("%+v made of %+v", made, in)
		}
	})
	if accepted == 0 {
		t.Error("no invoice was accepted: the property was not tried")
	}
}

// invoice is sound half of the time; else each of its parts may be wrong.
func invoice(t *rapid.T) crm.Invoice {
	sound := rapid.Bool().Draw(t, "sound")
	atLeast := func(right, wrong int64) int64 {
		if sound {
			return right
		}
		return wrong
	}
	cents := rapid.Int64Range(atLeast(0, -500), 2000)
	quantity := rapid.Int64Range(atLeast(1, 0), 4)
	sum := new(big.Rat)
	lines := make([]crm.InvoiceLine, rapid.Int64Range(atLeast(1, 0), 3).Draw(t, "lines"))
	for i := range lines {
		lines[i] = crm.InvoiceLine{Quantity: int32(quantity.Draw(t, "quantity")), UnitAmount: big.NewRat(cents.Draw(t, "cents"), 100)}
		sum.Add(sum, new(big.Rat).Mul(lines[i].UnitAmount, big.NewRat(int64(lines[i].Quantity), 1)))
	}
	if !sound && rapid.IntRange(0, 3).Draw(t, "off") == 0 {
		sum.Add(sum, big.NewRat(cents.Draw(t, "by"), 100))
	}
	oneOf := func(label string, right, wrong []string) string {
		if sound {
			wrong = nil
		}
		return rapid.SampledFrom(slices.Concat(right, wrong)).Draw(t, label)
	}
	status := crm.InvoiceStatusIssued
	if !sound && rapid.Bool().Draw(t, "draft") {
		status = crm.InvoiceStatusDraft
	}
	issued := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	return crm.Invoice{
		ID:       oneOf("id", []string{"inv_1"}, []string{""}),
		Status:   status,
		Customer: crm.Customer{ID: oneOf("customer", []string{"cus_1"}, []string{""})},
		Currency: oneOf("currency", []string{"EUR", "JPY", "USD"}, []string{"XXX", "eu", ""}),
		IssuedAt: issued, DueAt: issued.Add(time.Duration(rapid.Int64Range(atLeast(0, -10), 5000).Draw(t, "hours")) * time.Hour),
		Lines: lines, Total: sum,
	}
}
