package sinks

import (
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
	sent atomic.Bool // bytes of the request may have left
	conn net.Conn    // that it was given last; net/http tells and asks in one goroutine
}

// bind returns req with ctx, guarded. end is called when it has been answered.
func (o *once) bind(ctx context.Context, req *http.Request) (bound *http.Request, end func()) {
	trace := &httptrace.ClientTrace{WroteHeaders: func() { o.sent.Store(true) }}
	again := req.GetBody
	if again != nil { // net/http asks for the body before it repeats one that has any
		trace.GotConn = func(info httptrace.GotConnInfo) { o.conn = info.Conn }
		bound = req.WithContext(httptrace.WithClientTrace(ctx, trace))
		bound.GetBody = func() (io.ReadCloser, error) {
			if o.sent.Load() && !overHTTP2(o.conn) {
				return nil, errOnce
			}
			return again()
		}
		return bound, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	trace.GotConn = func(info httptrace.GotConnInfo) {
		if o.sent.Load() && !overHTTP2(info.Conn) {
			cancel(errOnce)
			_ = info.Conn.Close() // it may not be looked at ctx any more before the request is written
		}
	}
	return req.WithContext(httptrace.WithClientTrace(ctx, trace)), func() { cancel(nil) }
}

func overHTTP2(conn net.Conn) bool {
	secure, ok := conn.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}
