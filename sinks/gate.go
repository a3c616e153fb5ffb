package sinks

import (
	"context"
	"net/http"
	"time"
)

// Gate is the engine's side of the limits: every request of an attempt is
// asked for, and what a vendor says about its limits is told. A sink that
// sends with [Attempt.Do] does both without knowing it.
type Gate interface {
	// Pass returns when a request of that cost may go to that endpoint. Its
	// error is a verdict, to be returned as it is: the wait would be longer than
	// the attempt's time, and the engine tries the record again later. It spends
	// no attempt. Time that is waited here is not the attempt's.
	Pass(ctx context.Context, endpoint string, cost float64) error
	// Sent is told that the request that Pass let go is on its way, from another
	// goroutine maybe, which the attempt waits for. Until then, or until the call
	// ends, its tokens are part of the burst.
	Sent()
	// Hear is told what an answer said about the limits of the account.
	Hear(a Advice)
}

// Advice is what an answer says about the vendor's limits. What it leaves at
// zero it says nothing about.
type Advice struct {
	// Rate is how many tokens per second are allowed.
	Rate float64
	// Reset is when the present window ends, and Left how many tokens there are
	// until then.
	Reset time.Duration
	Left  float64
	// Used and Max are of a quota that is counted per day.
	Used, Max float64
}

// Call is how a request is sent, beside the request itself.
type Call struct {
	// Endpoint is one of a few names, under which users limit it in
	// limits.endpoints, and which a throttle of [holdfast.ScopeEndpoint] holds;
	// "" for a request that only the account's limit is about.
	Endpoint string
	// Cost is in tokens of the limit; 0 counts as 1.
	Cost float64
	// Body is what the request holds, which has none of its own; empty for none.
	Body []byte
	// Timeout bounds the request, body and answer included; 0, or more than the
	// client's own, leaves it to the client.
	Timeout time.Duration
	// MaxBody is how many bytes of the answer are read; 0 means [MaxBody].
	MaxBody int64
}

// Do sends one request of the attempt once the limits let it, and reads the
// answer to its end or its cap. An answer of any status is no error. The error
// is a verdict, or the context's own if it ended before anything was sent, and
// names neither URL, credentials nor payload. Sinks that speak HTTP send
// nothing otherwise. An attempt has one request under way at a time.
func (a *Attempt) Do(ctx context.Context, client *Client, req *http.Request, c Call) (*Response, error) {
	if err := a.pass(ctx, c.Endpoint, c.Cost); err != nil {
		return nil, err
	}
	return client.do(ctx, req, c, a.Gate)
}

// Pass waits until the limits let a request go that is sent at once; see [Gate].
// A sink of several requests that does not speak HTTP calls it before each of
// them, one at a time. What asks for nothing is taken to make one request a call,
// at any time until it returns: so of no more calls than the burst at once.
func (a *Attempt) Pass(ctx context.Context, endpoint string, cost float64) error {
	err := a.pass(ctx, endpoint, cost)
	if err == nil && a.Gate != nil {
		a.Gate.Sent()
	}
	return err
}

func (a *Attempt) pass(ctx context.Context, endpoint string, cost float64) error {
	if a.Gate == nil {
		return nil
	}
	if cost <= 0 {
		cost = 1
	}
	return a.Gate.Pass(ctx, endpoint, cost)
}

// Hear passes on what an answer said about the vendor's limits.
func (a *Attempt) Hear(said Advice) {
	if a.Gate != nil && said != (Advice{}) {
		a.Gate.Hear(said)
	}
}
