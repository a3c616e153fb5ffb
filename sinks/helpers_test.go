package sinks

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

func countNew(n *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
}

func transportOf(c *Client) *http.Transport {
	transport, _ := c.transport.(*http.Transport)
	return transport
}

// trust makes c believe in the certificate of s.
func trust(c *Client, s *httptest.Server) {
	theirs, _ := s.Client().Transport.(*http.Transport)
	transportOf(c).TLSClientConfig = theirs.TLSClientConfig.Clone()
	transportOf(c).TLSClientConfig.NextProtos = nil
}

// listenOnSecond moves a server to an address that httptest's certificate does
// not name.
func listenOnSecond(t *testing.T, s *httptest.Server, second bool) {
	t.Helper()
	if !second {
		return
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("SKIPPED: this machine has no 127.0.0.2")
	}
	_ = s.Listener.Close()
	s.Listener = l
}
