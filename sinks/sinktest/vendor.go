package sinktest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast.internal/sinks"
)

// Vendor is a destination on loopback that answers as it is told.
type Vendor struct {
	*httptest.Server

	handler  atomic.Pointer[http.Handler]
	mu       sync.Mutex
	requests []Request
}

// Request is one request that a [Vendor] has seen.
type Request struct {
	Method, Path string // the path with its query
	Header       http.Header
	Body         string
}

// NewVendor starts a vendor that answers with h and stops with the test.
func NewVendor(tb testing.TB, h http.Handler) *Vendor {
	tb.Helper()
	v := &Vendor{}
	v.Answer(h)
	v.Server = httptest.NewServer(v)
	tb.Cleanup(func() {
		v.CloseClientConnections()
		v.Close()
	})
	return v
}

// Answer changes how the vendor answers from now on.
func (v *Vendor) Answer(h http.Handler) { v.handler.Store(&h) }

// Requests returns what was seen so far, in order.
func (v *Vendor) Requests() []Request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.requests)
}

// ServeHTTP implements [http.Handler].
func (v *Vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up while it was sending
	}
	v.mu.Lock()
	v.requests = append(v.requests, Request{r.Method, r.URL.RequestURI(), r.Header.Clone(), string(body)})
	v.mu.Unlock()
	r.Body = io.NopCloser(&replay{text: body})
	(*v.handler.Load()).ServeHTTP(w, r)
}

// replay gives a handler the body that was read for the record.
type replay struct{ text []byte }

// Read implements [io.Reader].
func (b *replay) Read(p []byte) (int, error) {
	n := copy(p, b.text)
	b.text = b.text[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Deps are the dependencies of a sink under test: a hardened client that may
// reach loopback over plain http, and timeout for every request.
func Deps(tb testing.TB, timeout time.Duration) sinks.Deps {
	tb.Helper()
	egress := sinks.Egress{AllowHTTP: true, AllowCIDRs: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	}}
	client := sinks.NewClient(egress, sinks.ClientOptions{Timeout: timeout, Concurrency: 8})
	tb.Cleanup(client.Close)
	return sinks.Deps{Name: "test", HTTP: client, Concurrency: 8}.WithDefaults()
}
