package sinks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// errOnce is why a request is not sent again.
var errOnce = errors.New("sent once, and the connection was lost")

// once keeps a request from being sent again behind our back. Over HTTP/1
// net/http repeats one that has an idempotency key, or is a GET, when a
// connection that it used before dies under it: nobody has paid for that one,
// no hold keeps it back, and the vendor counts it. A request of which nothing
// was written may be repeated; so may one over HTTP/2, as the vendor has said
// there that it took no notice of the first.
type once struct {
	sent  atomic.Bool // bytes of the request may have left
	body  []byte
	conn  net.Conn // that it was given last, where it may be HTTP/2; net/http tells and asks in one goroutine
	trace httptrace.ClientTrace
	stop  context.CancelCauseFunc // of a request without a body
}

// bind returns req with ctx and a body, guarded. end is called when it has been
// answered.
func (o *once) bind(ctx context.Context, req *http.Request, body []byte) (bound *http.Request, end func()) {
	o.body, end = body, func() {}
	o.trace.WroteHeaders = o.wrote
	if len(body) == 0 {
		ctx, o.stop = context.WithCancelCause(ctx)
		o.trace.GotConn, end = o.stopAgain, func() { o.stop(nil) }
	} else if req.URL.Scheme == "https" { // nothing else speaks HTTP/2
		o.trace.GotConn = o.gotConn
	}
	bound = req.WithContext(httptrace.WithClientTrace(ctx, &o.trace))
	if len(body) > 0 {
		bound.Body, bound.GetBody, bound.ContentLength = o.read(), o.again, int64(len(body))
	}
	return bound, end
}

func (o *once) wrote() { o.sent.Store(true) }

func (o *once) gotConn(info httptrace.GotConnInfo) { o.conn = info.Conn }

func (o *once) read() io.ReadCloser { return io.NopCloser(bytes.NewReader(o.body)) }

// again is asked for the body before a request is repeated.
func (o *once) again() (io.ReadCloser, error) {
	if o.sent.Load() && !overHTTP2(o.conn) {
		return nil, errOnce
	}
	return o.read(), nil
}

// stopAgain ends a request that is repeated, and has no body to be asked for.
func (o *once) stopAgain(info httptrace.GotConnInfo) {
	if o.sent.Load() && !overHTTP2(info.Conn) {
		o.stop(errOnce)
		_ = info.Conn.Close() // the context may not be looked at any more before the request is written
	}
}

func overHTTP2(conn net.Conn) bool {
	secure, ok := conn.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}
