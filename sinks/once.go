package sinks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
)

// errOnce is why a request is not sent again.
var errOnce = errors.New("sent once, and the connection was lost")

// once keeps a request from being sent again behind our back. Over HTTP/1
// net/http repeats one that has an idempotency key, or is a GET, when a
// connection that it used before dies under it: nobody has paid for that one,
// no hold keeps it back, and the vendor counts it. Over HTTP/2 it repeats, for
// up to a minute, what the vendor says it took no notice of, and what ended for
// an error of ours, of which nobody says so. A request of which nothing was
// written may be repeated.
type once struct {
	sent  atomic.Bool // bytes of the request may have left
	body  []byte
	trace httptrace.ClientTrace
	stop  context.CancelCauseFunc // of a request without a body

	mu   sync.Mutex
	gate Gate // is to be told when it is sent; nil for nobody, or no more

	// What follows is told and asked in the goroutine that sends.
	http2 bool // the connection that was given last
	ended bool // it would have been sent again
}

// bind returns req with ctx and a body, guarded, until end is called.
func (o *once) bind(ctx context.Context, req *http.Request, body []byte) (bound *http.Request) {
	o.body = body
	o.trace.WroteHeaders = o.wrote
	if len(body) == 0 {
		ctx, o.stop = context.WithCancelCause(ctx)
		o.trace.GotConn = o.stopAgain
	} else if req.URL.Scheme == "https" { // nothing else speaks HTTP/2
		o.trace.GotConn = o.given
	}
	bound = req.WithContext(httptrace.WithClientTrace(ctx, &o.trace))
	if len(body) > 0 {
		bound.Body, bound.GetBody, bound.ContentLength = o.read(), o.again, int64(len(body))
	}
	return bound
}

// end is called when the request has been answered, or will not be: the gate is
// the attempt's again.
func (o *once) end() {
	o.mu.Lock()
	o.gate = nil
	o.mu.Unlock()
	if o.stop != nil {
		o.stop(nil)
	}
}

// wrote is told that the request leaves: it has its connection. It runs in a
// goroutine of net/http, maybe after the end.
func (o *once) wrote() {
	o.sent.Store(true)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gate != nil {
		o.gate.Sent()
	}
}

func (o *once) given(info httptrace.GotConnInfo) {
	secure, ok := info.Conn.(*tls.Conn)
	o.http2 = ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}

func (o *once) read() io.ReadCloser { return io.NopCloser(bytes.NewReader(o.body)) }

// again is asked for the body before a request is repeated.
func (o *once) again() (io.ReadCloser, error) {
	if o.ended = o.sent.Load(); o.ended {
		return nil, errOnce
	}
	return o.read(), nil
}

// stopAgain ends a request that is repeated, and has no body to be asked for.
func (o *once) stopAgain(info httptrace.GotConnInfo) {
	o.given(info)
	if o.ended = o.sent.Load(); !o.ended {
		return
	}
	o.stop(errOnce)
	if !o.http2 { // the context may not be looked at any more before the request is written
		_ = info.Conn.Close()
	}
}

// unanswered reports whether the vendor ended the stream of a request and lives:
// that request alone is to be sent again, by whoever pays for it.
func (o *once) unanswered() bool { return o.ended && o.http2 }
