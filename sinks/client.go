package sinks

import (
	"net"
	"net/http"
	"time"
)

// Limits of what a destination may send us. Whatever it sends, a request costs
// no more memory than these.
const (
	MaxBody     = 64 << 10 // bytes of a response body that are read
	maxHeader   = 64 << 10 // bytes of response headers
	dialTimeout = 2 * time.Second
	handshake   = 5 * time.Second
	idle        = time.Minute
	// silence is how long a connection over HTTP/2 may say nothing before it is
	// asked for a sign of life, and as long again until it is given up. Without,
	// one that a balancer has forgotten would time out every request for as long
	// as the kernel sends again, some 15 minutes: it is not left for a time-out.
	silence      = 5 * time.Second
	totalTimeout = 15 * time.Second
)

// ClientOptions sizes a client.
type ClientOptions struct {
	// Timeout bounds a whole request, body included; 0 means 15 s. A shorter
	// deadline of the request's context wins.
	Timeout time.Duration
	// Concurrency is the number of connections per host; 0 means [DefaultConcurrency].
	Concurrency int
}

// Client is what every sink that speaks HTTP sends with, through [Attempt.Do].
// It is a transport and a time-out: what [http.Client] adds, redirects and
// cookies, is nothing that a destination should get from us.
type Client struct {
	transport http.RoundTripper
	timeout   time.Duration
}

// NewClient returns a client that refuses plain http and addresses that are
// not public unless e admits them, follows no redirect, ignores proxies of the
// environment, and never decompresses.
func NewClient(e Egress, o ClientOptions) *Client {
	if o.Timeout <= 0 {
		o.Timeout = totalTimeout
	}
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second, Control: e.control}
	// There is no ResponseHeaderTimeout: every request has a deadline, and a
	// second timer for each would find nothing that the deadline does not.
	transport := &http.Transport{
		Proxy:                  nil, // a proxy of the environment would see credentials and dodge the guard
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    handshake,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // a gzip bomb stays as small as it was sent
		MaxConnsPerHost:        o.Concurrency,
		MaxIdleConnsPerHost:    o.Concurrency,
		IdleConnTimeout:        idle,
		ForceAttemptHTTP2:      true, // a DialContext of our own would turn it off
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
	}
	if !e.AllowHTTP {
		transport.RegisterProtocol("http", noPlainHTTP{})
	}
	return ClientOver(transport, o.Timeout)
}

// ClientOver returns a client over another transport, which guards nothing:
// for tests whose network is their own.
func ClientOver(transport http.RoundTripper, timeout time.Duration) *Client {
	return &Client{transport: transport, timeout: timeout}
}

// Within is how long a request takes at most that asks for d: the client's own
// time if that is shorter, or d is not above 0.
func (c *Client) Within(d time.Duration) time.Duration {
	if d <= 0 {
		return c.timeout
	}
	return min(d, c.timeout)
}

// Close closes the connections that nobody uses.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
