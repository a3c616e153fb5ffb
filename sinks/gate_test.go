package sinks

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// book is a gate that lets everything go, and notes in which order what happened.
type book struct {
	mu    sync.Mutex
	lines []string
}

func (b *book) note(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
}

func (b *book) Pass(context.Context, string, float64) error { b.note("let go"); return nil }
func (b *book) Sent()                                       { b.note("sent") }
func (*book) Hear(Advice)                                   {}

func (b *book) wants(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.lines, want) {
		t.Errorf("got %q, want %q", b.lines, want)
	}
}

// slowly is a listener whose connections begin to speak when they are let.
type slowly struct {
	net.Listener

	begin func()
}

func (s slowly) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	return &slowConn{Conn: conn, begin: s.begin}, err
}

type slowConn struct {
	net.Conn

	once  sync.Once
	begin func()
}

func (c *slowConn) Read(p []byte) (int, error) {
	c.once.Do(c.begin)
	return c.Conn.Read(p)
}

// TestP6ARequestIsSentWhenItHasItsConnection: until then its tokens are part of
// the burst. A connection that is used again is there at once.
func TestP6ARequestIsSentWhenItHasItsConnection(t *testing.T) {
	t.Parallel()
	for name, speaksHTTP2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b book
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				b.note("arrived")
			}))
			server.Listener = slowly{server.Listener, func() { time.Sleep(50 * time.Millisecond); b.note("handshake") }} //nolint:forbidigo // a real network
			server.EnableHTTP2 = speaksHTTP2
			server.StartTLS()
			t.Cleanup(server.Close)
			client := testClient(t)
			trust(client, server)
			bodies := []string{"payload", ""}
			if speaksHTTP2 { // without a body all is written before anybody is told
				bodies[1] = "payload"
			}
			for _, body := range bodies {
				a := Attempt{Gate: &b}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := a.Do(t.Context(), client, req, Call{Body: []byte(body)}); err != nil {
					t.Fatal(err)
				}
			}
			b.wants(t, "let go", "handshake", "sent", "arrived", "let go", "sent", "arrived")
		})
	}
}

// TestP6WhatWasNotSentIsNotTold: nobody hears of a request that found no
// connection, nor after its end.
func TestP6WhatWasNotSentIsNotTold(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	b := &book{}
	a := Attempt{Gate: b}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Do(t.Context(), testClient(t), req, Call{Body: []byte("payload")}); err == nil {
		t.Error("a closed port answered")
	}
	b.wants(t, "let go")
	o := once{gate: b}
	o.end()
	o.wrote()
	b.wants(t, "let go")
}
