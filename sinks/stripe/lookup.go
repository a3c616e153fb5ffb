package stripe

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"holdfast.internal/sinks"
)

// keyWindow is how long Stripe surely remembers a key: it may prune after 24
// hours, and an hour is left for clocks and for the request itself.
const keyWindow = 23 * time.Hour

// KeyWindow implements [sinks.Reconciler].
func (s *sink) KeyWindow() time.Duration { return keyWindow }

// LookUp implements [sinks.Reconciler]. It finds the event's invoice among those
// of its customer by metadata, in strongly consistent lists. An invoice that is
// still a draft has not taken effect; what was made of it is noted in
// a.Progress, so that the next Deliver goes on from there under any key.
func (s *sink) LookUp(ctx context.Context, a *sinks.Attempt) (applied bool, err error) {
	p, err := s.known(a)
	if err != nil {
		return false, err
	}
	w := &work{sink: s, attempt: a, plan: p}
	if applied, err = w.survey(ctx); err != nil {
		return false, err
	}
	a.Progress = w.made.encode()
	if applied {
		a.Receipt = sinks.Receipt{ObjectID: w.made.Invoice, Duplicate: true}
	}
	return applied, nil
}

// survey notes in w.made what exists of the event.
func (w *work) survey(ctx context.Context) (applied bool, err error) {
	customer, err := w.findCustomer(ctx)
	if err != nil || customer == "" {
		return false, err
	}
	w.made.note(customerStep, customer)
	invoice, err := w.findInvoice(ctx)
	if err != nil || invoice == nil {
		return false, err
	}
	w.made.note(invoiceStep, invoice.ID)
	if invoice.Status != "draft" {
		w.made.Done = len(w.plan.Steps)
		return true, nil
	}
	return false, w.noteItems(ctx)
}

// known returns the steps of the event, frozen or rendered anew; only the
// customer's identity and the number of steps are needed.
func (s *sink) known(a *sinks.Attempt) (*plan, error) {
	if a.Request != nil {
		if p, err := thaw(a.Request); err == nil {
			return p, nil
		}
	}
	return s.render(a)
}

// findInvoice goes through the invoices that can be the event's: none is older
// than the event's first attempt, give or take an hour of clocks.
func (w *work) findInvoice(ctx context.Context) (*object, error) {
	a := w.attempt
	first := a.First
	if first.IsZero() || (!a.Event.Time.IsZero() && a.Event.Time.Before(first)) {
		first = a.Event.Time
	}
	query := "/v1/invoices?limit=20&customer=" + url.QueryEscape(w.made.Customer)
	if !first.IsZero() {
		query += "&created[gte]=" + strconv.FormatInt(first.Add(-time.Hour).Unix(), 10)
	}
	return w.findEvent(ctx, query, func(o object) bool { return o.Metadata[metaStep] == invoiceStep })
}

// findEvent pages through a list until an object of the event is found that fits.
func (w *work) findEvent(ctx context.Context, query string, fits func(object) bool) (*object, error) {
	after := ""
	for {
		page, more, err := w.list(ctx, query+after)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			if o.Metadata[metaEvent] == truncate(w.attempt.Event.ID) && fits(o) {
				return &o, nil
			}
		}
		if !more || len(page) == 0 {
			return nil, nil
		}
		after = "&starting_after=" + url.QueryEscape(page[len(page)-1].ID)
	}
}

// noteItems counts the items that need not be made again: they are made in
// order, so the first that is missing ends them.
func (w *work) noteItems(ctx context.Context) error {
	there := map[string]bool{}
	_, err := w.findEvent(ctx, "/v1/invoiceitems?limit=100&invoice="+url.QueryEscape(w.made.Invoice), func(o object) bool {
		there[o.Metadata[metaStep]] = true
		return false // see them all
	})
	for w.made.Done < len(w.plan.Steps) && there[w.plan.Steps[w.made.Done].Name] {
		w.made.Done++
	}
	return err
}

var _ sinks.Reconciler = (*sink)(nil)
