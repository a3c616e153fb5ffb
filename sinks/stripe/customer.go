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
func (s *sink) customer(ctx context.Context, a *sinks.Attempt, p *plan, made *progress) error {
	id, err := s.findCustomer(ctx, a, p.Customer)
	if err == nil && id == "" {
		key := holdfast.IdempotencyKey(a.Sink, customerStep+"/"+p.Customer.Ref+"/"+p.Customer.Email, customerStep, a.Generation)
		id, err = s.write(ctx, a, key, p.Steps[made.Done], *made)
	}
	var unknown *holdfast.UnknownError
	if errors.As(err, &unknown) && unknown.Code == "idempotency_error" {
		// Another event made this customer a moment ago, with another name or
		// telephone. By now the list knows it.
		if id, err = s.findCustomer(ctx, a, p.Customer); err == nil && id == "" {
			err = unknown
		}
	}
	if err != nil {
		return err
	}
	made.note(customerStep, id)
	return nil
}

// findCustomer returns the id of the customer, or "". With an address the list
// by address tells, which is strongly consistent; without one only Stripe's
// search can, which may lag by a minute.
func (s *sink) findCustomer(ctx context.Context, a *sinks.Attempt, who identity) (string, error) {
	path := "/v1/customers?limit=100&email=" + url.QueryEscape(who.Email)
	if who.Email == "" {
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(truncate(who.Ref))
		path = "/v1/customers/search?limit=100&query=" + url.QueryEscape("metadata['"+metaCustomer+"']:'"+quoted+"'")
	}
	found := ""
	page, _, err := s.list(ctx, a, path)
	for _, c := range page {
		if c.Metadata[metaCustomer] == truncate(who.Ref) {
			found = c.ID // newest first: the oldest wins, for every event alike
		}
	}
	return found, err
}

// list reads one page.
func (s *sink) list(ctx context.Context, a *sinks.Attempt, path string) (page []object, more bool, err error) {
	answer, err := s.send(ctx, request{method: http.MethodGet, path: path, number: a.Number})
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
