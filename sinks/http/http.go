// Package http posts each event as plain JSON to a URL: the smallest example of
// a sink, and the one to copy for a new vendor.
package http

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// The fields that every request carries besides the idempotency key.
const (
	headerEventID = "Holdfast-Event-Id"
	headerKey     = "Holdfast-Key"
	headerAttempt = "Holdfast-Attempt"
)

// sink is one configured destination. It has no state.
type sink struct {
	client    *sinks.Client
	method    string
	target    template
	static    []field
	keyHeader string
	quote     bool
	timeout   time.Duration
	limits    *sinks.Limits
	now       func() time.Time
	secrets   []string // masked where an answer repeats them
}

// New returns a sink that sends each event to cfg.URL.
func New(cfg Config, deps sinks.Deps) (sinks.Sink, error) {
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	deps = deps.WithDefaults()
	target, err := cfg.target()
	if err != nil {
		return nil, err
	}
	return &sink{
		client: deps.HTTP, method: cfg.Method, target: target, static: staticFields(cfg),
		keyHeader: http.CanonicalHeaderKey(cfg.Idempotency.Header), quote: cfg.Idempotency.Quote,
		timeout: cfg.Timeout, limits: sinks.NewLimits(deps.DailyHeader), now: deps.Now,
		secrets: []string{cfg.Auth.Bearer.Reveal(), cfg.Auth.Password.Reveal(), cfg.Auth.Value.Reveal()},
	}, nil
}

// AttemptTime implements [sinks.Bounded].
func (s *sink) AttemptTime() time.Duration { return s.client.Within(s.timeout) }

// Deliver sends one event and judges the answer by its status.
func (s *sink) Deliver(ctx context.Context, a *sinks.Attempt) error {
	if a.Event.Value == nil {
		return holdfast.Permanent(holdfast.ClassValidation, "tombstone", errTombstone)
	}
	body, err := frozenBody(a)
	if err != nil {
		return err
	}
	u, err := s.target.url(&a.Event)
	if err != nil {
		return err
	}
	req := &http.Request{Method: s.method, URL: u, Host: u.Host, Header: s.header(a)}
	answer, err := a.Do(ctx, s.client, req, sinks.Call{Body: body, Timeout: s.timeout})
	if err != nil {
		return err
	}
	a.Hear(s.limits.Read(answer.Header, s.now))
	return s.judge(a, body, answer)
}

var errTombstone = errors.New("a record without a value has no body to send")

// frozenBody returns the bytes of an earlier attempt if there was one: after a
// deploy the same key must not come with another body.
func frozenBody(a *sinks.Attempt) ([]byte, error) {
	if a.Request != nil {
		return a.Request, nil
	}
	body, err := a.Event.Value.JSON()
	if err != nil {
		return nil, err
	}
	a.Request = body
	return body, nil
}

// conflicted marks, in an attempt's progress, that a 409 was met before.
const conflicted = "409"

func (s *sink) judge(a *sinks.Attempt, body []byte, answer *sinks.Response) error {
	if answer.Status >= 200 && answer.Status < 300 {
		a.Receipt.RequestID = sinks.RequestID(answer.Header, body)
		return nil
	}
	x := &sinks.Exchange{
		Method: s.method, Response: *answer, Number: a.Number, Now: s.now(),
		Conflicted: a.Number > 1 && string(a.Progress) == conflicted,
		Sent:       append(append(sinks.Texts(body), string(a.Event.Key)), s.secrets...),
	}
	if answer.Status == http.StatusConflict {
		a.Progress = []byte(conflicted)
	}
	return sinks.Classify(x)
}

// field is a header field that all requests have, by its canonical name.
type field struct {
	name   string
	values []string
}

func staticFields(cfg Config) (fields []field) {
	for name, values := range staticHeader(cfg) {
		fields = append(fields, field{name, values})
	}
	return fields
}

func staticHeader(cfg Config) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"holdfast"}}
	for name, value := range cfg.Headers {
		h.Set(name, value)
	}
	switch a := cfg.Auth; {
	case a.Bearer != "":
		h.Set("Authorization", "Bearer "+a.Bearer.Reveal())
	case a.Username != "" || a.Password != "":
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password.Reveal())))
	case a.Header != "":
		h.Set(a.Header, a.Value.Reveal())
	}
	return h
}

// header adds what differs between requests. The static values are shared:
// net/http reads them and nothing more.
func (s *sink) header(a *sinks.Attempt) http.Header {
	h := make(http.Header, len(s.static)+4)
	for _, f := range s.static {
		h[f.name] = f.values
	}
	key := a.Key("")
	if s.quote {
		key = `"` + key + `"`
	}
	values := []string{key, visible(a.Event.ID), strconv.Itoa(a.Number), ""}
	h[s.keyHeader] = values[0:1:1]
	h[headerEventID] = values[1:2:2]
	h[headerAttempt] = values[2:3:3]
	if a.Event.Key != nil {
		values[3] = visible(string(a.Event.Key))
		h[headerKey] = values[3:4:4]
	}
	return h
}

// visible percent-encodes all but visible ASCII.
func visible(s string) string {
	clean := func(c byte) bool { return c > ' ' && c < 0x7f }
	i := 0
	for i < len(s) && clean(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		if c := s[i]; clean(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
