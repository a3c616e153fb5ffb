package stripe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// request is one call of Stripe's API.
type request struct {
	method, path string // the path with its query
	body         string // a form
	key          string // idempotency key; "" for reads
}

// maxList bounds the answer to a list; a hundred customers fit.
const maxList = 1 << 20

// send sends one request. Its error is a verdict; nil means a 2xx answer.
func (w *work) send(ctx context.Context, r request) (*sinks.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, w.baseURL+r.path, nil)
	if err != nil {
		return nil, holdfast.Permanent(holdfast.ClassConfig, "url", errors.New("request has no valid URL"))
	}
	req.Header.Set("Authorization", "Bearer "+w.apiKey.Reveal())
	req.Header.Set("Stripe-Version", w.version)
	req.Header.Set("User-Agent", "holdfast")
	call := sinks.Call{Endpoint: endpointOf(r.method, r.path), Body: []byte(r.body), Timeout: w.timeout, MaxBody: maxList}
	if r.method != http.MethodGet {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Idempotency-Key", r.key)
		call.MaxBody = sinks.MaxBody
	}
	answer, err := w.attempt.Do(ctx, w.client, req, call)
	if err != nil {
		return nil, err
	}
	w.noticeVersion(answer.Header.Get("Stripe-Version"))
	return answer, classify(&sinks.Exchange{
		Method: r.method, Response: *answer, Number: w.attempt.Number, Now: w.now(), Sent: w.sent(r),
	})
}

// sent lists what an answer may repeat and nobody may keep: what any request
// of this event holds, for Stripe knows it from earlier ones.
func (w *work) sent(r request) []string {
	texts := []string{w.apiKey.Reveal(), r.key, w.plan.Customer.Ref, w.plan.Customer.Email, string(w.attempt.Event.Key)}
	for _, st := range w.plan.Steps {
		values, _ := url.ParseQuery(st.Form)
		for name, list := range values {
			if !strings.HasPrefix(name, "metadata[holdfast_step") {
				texts = append(texts, list...)
			}
		}
	}
	return texts
}

// noticeVersion says once that Stripe answers with another version than was
// asked for: the pinned contract may not hold any more.
func (s *sink) noticeVersion(got string) {
	if got == "" || got == s.version || s.foreignAPI.Swap(true) {
		return
	}
	s.log.Warn("stripe answers with another version than the pinned one", zap.String("pinned", s.version), zap.String("answered", got[:min(len(got), 64)]))
}

// idOf returns the id at the top of an answer, which may have been cut behind
// it. Without one, the outcome is not known; the same key asks again.
func idOf(answer *sinks.Response) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(answer.Body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return "", noID(answer)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return "", noID(answer)
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return "", noID(answer)
		}
		if id, ok := value.(string); ok && name == "id" && validID(id) {
			return id, nil
		}
	}
	return "", noID(answer)
}

// validID keeps an answer from steering the next request: ids go into paths.
func validID(id string) bool {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	return id != "" && len(id) <= 255 && strings.Trim(id, chars) == ""
}

func noID(answer *sinks.Response) error {
	return &holdfast.TransientError{Failure: holdfast.Failure{
		Class: holdfast.ClassUncertain, Code: "no_id", Status: answer.Status, Err: errors.New("answer holds no id"),
	}}
}
