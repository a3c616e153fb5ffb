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
	made := progress{}
	if made.Customer, err = s.findCustomer(ctx, a, p.Customer); err != nil {
		return false, err
	}
	if made.Customer == "" {
		a.Progress = nil
		return false, nil
	}
	made.Done = 1
	inv, err := s.findInvoice(ctx, a, made.Customer)
	if err != nil {
		return false, err
	}
	if inv != nil {
		made.Invoice, made.Done = inv.ID, 2
		if inv.Status != "draft" {
			made.Done = len(p.Steps)
			a.Progress, a.Receipt = made.encode(), sinks.Receipt{ObjectID: inv.ID, Duplicate: true}
			return true, nil
		}
		if made.Done, err = s.itemsMade(ctx, a, p, made); err != nil {
			return false, err
		}
	}
	a.Progress = made.encode()
	return false, nil
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
func (s *sink) findInvoice(ctx context.Context, a *sinks.Attempt, customer string) (*object, error) {
	first := a.First
	if first.IsZero() || (!a.Event.Time.IsZero() && a.Event.Time.Before(first)) {
		first = a.Event.Time
	}
	query := "/v1/invoices?limit=20&customer=" + url.QueryEscape(customer)
	if !first.IsZero() {
		query += "&created[gte]=" + strconv.FormatInt(first.Add(-time.Hour).Unix(), 10)
	}
	return s.findEvent(ctx, a, query, func(o object) bool { return o.Metadata[metaStep] == invoiceStep })
}

// findEvent pages through a list until an object of the event is found that fits.
func (s *sink) findEvent(ctx context.Context, a *sinks.Attempt, query string, fits func(object) bool) (*object, error) {
	after := ""
	for {
		page, more, err := s.list(ctx, a, query+after)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			if o.Metadata[metaEvent] == truncate(a.Event.ID) && fits(o) {
				return &o, nil
			}
		}
		if !more || len(page) == 0 {
			return nil, nil
		}
		after = "&starting_after=" + url.QueryEscape(page[len(page)-1].ID)
	}
}

// itemsMade counts the steps that need not be taken again: items are made in
// order, so the first that is missing ends them.
func (s *sink) itemsMade(ctx context.Context, a *sinks.Attempt, p *plan, made progress) (int, error) {
	there := map[string]bool{}
	_, err := s.findEvent(ctx, a, "/v1/invoiceitems?limit=100&invoice="+url.QueryEscape(made.Invoice), func(o object) bool {
		there[o.Metadata[metaStep]] = true
		return false // see them all
	})
	done := made.Done
	for done < len(p.Steps) && there[p.Steps[done].Name] {
		done++
	}
	return done, err
}

var _ sinks.Reconciler = (*sink)(nil)
