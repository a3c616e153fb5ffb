package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// object is what lists tell about customers, invoices and items.
type object struct {
	ID       string            `json:"id"`
	Status   string            `json:"status"`
	Metadata map[string]string `json:"metadata"`
}

// customer finds the event's customer, or makes it. A customer is shared by
// many events, so looking first is what keeps it from being made again once
// Stripe has forgotten the key; and its key is that of the customer, not of the
// event, so that two events that look at the same moment, on two workers
// perhaps, make one customer and not two.
func (w *work) customer(ctx context.Context, st step) error {
	id, err := w.findCustomer(ctx)
	if err == nil && id == "" {
		id, err = w.write(ctx, st, w.customerKey())
	}
	var unknown *holdfast.UnknownError
	if errors.As(err, &unknown) && unknown.Code == "idempotency_error" {
		// Another event made this customer a moment ago, with another name or
		// telephone. By now the list knows it.
		if id, err = w.findCustomer(ctx); err == nil && id == "" {
			err = unknown
		}
	}
	if err != nil {
		return err
	}
	w.made.note(customerStep, id)
	return nil
}

// customerKey is the one formula with the customer in the event's place.
func (w *work) customerKey() string {
	who := w.plan.Customer
	return holdfast.IdempotencyKey(w.attempt.Sink, customerStep+"/"+who.Ref+"/"+who.Email, customerStep, w.attempt.Generation)
}

// findCustomer returns the id of the customer, or "". With an address the list
// by address tells, which is strongly consistent; without one only Stripe's
// search can, which may lag by a minute.
func (w *work) findCustomer(ctx context.Context) (string, error) {
	who := w.plan.Customer
	path := "/v1/customers?limit=100&email=" + url.QueryEscape(who.Email)
	if who.Email == "" {
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(truncate(who.Ref))
		path = "/v1/customers/search?limit=100&query=" + url.QueryEscape("metadata['"+metaCustomer+"']:'"+quoted+"'")
	}
	found := ""
	page, _, err := w.list(ctx, path)
	for _, c := range page {
		if c.Metadata[metaCustomer] == truncate(who.Ref) {
			found = c.ID // newest first: the oldest wins, for every event alike
		}
	}
	return found, err
}

// list reads one page.
func (w *work) list(ctx context.Context, path string) (page []object, more bool, err error) {
	answer, err := w.send(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return nil, false, err
	}
	var body struct {
		Data    []object `json:"data"`
		HasMore bool     `json:"has_more"`
	}
	if json.Unmarshal(answer.Body, &body) != nil {
		return nil, false, unreadable(answer)
	}
	for _, o := range body.Data {
		if !validID(o.ID) {
			return nil, false, unreadable(answer)
		}
	}
	return body.Data, body.HasMore, nil
}

func unreadable(answer *sinks.Response) error {
	return &holdfast.TransientError{Failure: holdfast.Failure{
		Class: holdfast.ClassUncertain, Code: "bad_list", Status: answer.Status, Err: errors.New("list does not parse"),
	}}
}
