// Package stripe makes one invoice per event at Stripe: customer, invoice,
// items, finalize. Each step has an idempotency key of its own; the rendered
// steps are frozen with the event before the first byte leaves, and the ids
// made so far go along, so that any attempt may be the last one's heir.
package stripe

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// sink is one Stripe account.
type sink struct {
	client     *sinks.Client
	baseURL    string
	apiKey     holdfast.Secret
	version    string
	timeout    time.Duration
	now        func() time.Time
	log        *zap.Logger
	foreignAPI atomic.Bool // another version answered; said once
}

// New returns a sink for the account of cfg. It is a [sinks.Reconciler].
func New(cfg Config, deps sinks.Deps) (sinks.Sink, error) {
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	deps = deps.WithDefaults()
	return &sink{
		client: deps.HTTP, baseURL: strings.TrimSuffix(cfg.BaseURL, "/"), apiKey: cfg.Auth.APIKey,
		version: cfg.APIVersion, timeout: cfg.Timeout, now: deps.Now, log: deps.Log,
	}, nil
}

// work is one event on its way.
type work struct {
	*sink

	attempt *sinks.Attempt
	plan    *plan
	made    progress
}

// Deliver takes the steps that an earlier attempt has not taken.
func (s *sink) Deliver(ctx context.Context, a *sinks.Attempt) error {
	p, settled, err := s.prepare(ctx, a)
	if err != nil || settled {
		return err
	}
	w := &work{sink: s, attempt: a, plan: p, made: parseProgress(a.Progress)}
	if w.made.Done > len(p.Steps) {
		w.made = progress{} // kept by another plan; the keys make starting anew harmless
	}
	for w.made.Done < len(p.Steps) {
		if err := w.take(ctx, p.Steps[w.made.Done]); err != nil {
			return err
		}
		a.Progress = w.made.encode()
	}
	a.Receipt.ObjectID = w.made.Invoice
	return nil
}

// prepare thaws the frozen steps, or renders and freezes them. Where only the
// sum of an earlier rendering was kept and this one differs, nobody knows what
// Stripe has under the keys: it looks first. settled means that all is done.
func (s *sink) prepare(ctx context.Context, a *sinks.Attempt) (p *plan, settled bool, err error) {
	if a.Request != nil {
		if p, err = thaw(a.Request); err != nil {
			return nil, false, holdfast.Permanent(holdfast.ClassPoison, "frozen_request", err)
		}
		return p, false, nil
	}
	if p, err = s.render(a); err != nil {
		return nil, false, err
	}
	if a.Request, err = p.freeze(); err != nil {
		return nil, false, holdfast.Permanent(holdfast.ClassPoison, "frozen_request", err)
	}
	sum := sha256.Sum256(a.Request)
	if a.RequestSum != nil && subtle.ConstantTimeCompare(sum[:], a.RequestSum) == 0 {
		settled, err = s.LookUp(ctx, a)
	}
	return p, settled, err
}

func (s *sink) render(a *sinks.Attempt) (*plan, error) {
	inv, err := decode(a.Event.Value)
	if err != nil {
		return nil, err
	}
	return render(inv, a.Event.ID)
}

// take makes one step and notes what it gave.
func (w *work) take(ctx context.Context, next step) error {
	if next.Name == customerStep {
		return w.customer(ctx, next)
	}
	id, err := w.write(ctx, next, w.attempt.Key(next.Name))
	if err != nil {
		return err
	}
	w.made.note(next.Name, id)
	return nil
}

// write sends one step and returns the id of what it made.
func (w *work) write(ctx context.Context, st step, key string) (string, error) {
	answer, err := w.send(ctx, request{
		method: http.MethodPost, path: w.made.fill(st.Path), body: w.made.fill(st.Form), key: key,
	})
	if err != nil {
		return "", err
	}
	w.attempt.Receipt.RequestID = sinks.RequestID(answer.Header, nil)
	w.attempt.Receipt.Duplicate = replayed(answer.Header)
	return idOf(answer)
}
