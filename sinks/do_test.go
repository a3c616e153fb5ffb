package sinks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log" //nolint:depguard // net/http/httptest takes no other logger
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast.internal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func loopback() Egress {
	return Egress{AllowHTTP: true, AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
}

func testClient(t *testing.T) *Client {
	t.Helper()
	client := NewClient(loopback(), ClientOptions{Timeout: 20 * time.Second})
	t.Cleanup(client.Close)
	return client
}

func post(t *testing.T, client *Client, url string) (*Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client.do(req.Context(), req, Call{Body: []byte("payload")}, nil)
}

func TestABodyIsReadUpToItsCap(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		size      int
		chunked   bool
		truncated bool
	}{
		"empty": {0, false, false}, "small": {10, false, false}, "small, chunked": {10, true, false},
		"just at the cap": {MaxBody, false, false}, "at the cap, chunked": {MaxBody, true, false},
		"one more": {MaxBody + 1, false, true}, "one more, chunked": {MaxBody + 1, true, true}, "ten times": {10 * MaxBody, true, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tt.chunked {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = w.Write(bytes.Repeat([]byte("x"), tt.size))
			}))
			t.Cleanup(server.Close)
			got, err := post(t, testClient(t), server.URL)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Body) != min(tt.size, MaxBody) || got.Truncated != tt.truncated {
				t.Errorf("%d bytes, truncated %v", len(got.Body), got.Truncated)
			}
		})
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"with a body": "ok", "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
			server.Config.ConnState = countNew(&connections)
			server.Start()
			t.Cleanup(server.Close)
			client := testClient(t)
			for range 20 {
				if _, err := post(t, client, server.URL); err != nil {
					t.Fatal(err)
				}
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("%d connections for 20 requests", n)
			}
		})
	}
}

func TestTLSFaultsAreUnavailable(t *testing.T) {
	t.Parallel()
	quiet := log.New(io.Discard, "", 0)
	tests := map[string]func(s *httptest.Server, c *Client) string{
		"a certificate nobody vouches for": func(s *httptest.Server, _ *Client) string {
			s.StartTLS()
			return s.URL
		},
		"a certificate for another host": func(s *httptest.Server, c *Client) string {
			s.StartTLS()
			trust(c, s)
			return s.URL
		},
		"an expired certificate": func(s *httptest.Server, c *Client) string {
			s.StartTLS()
			trust(c, s)
			transportOf(c).TLSClientConfig.Time = func() time.Time { return time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC) }
			return s.URL
		},
		"TLS 1.0": func(s *httptest.Server, c *Client) string {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}
			s.StartTLS()
			trust(c, s)
			return s.URL
		},
		"no TLS at all": func(s *httptest.Server, _ *Client) string {
			s.Start()
			return strings.Replace(s.URL, "http://", "https://", 1)
		},
	}
	for name, start := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reached atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
			server.Config.ErrorLog = quiet
			listenOnSecond(t, server, name == "a certificate for another host")
			t.Cleanup(server.Close)
			client := testClient(t)
			_, err := post(t, client, start(server, client)+"/secret-path")
			verdict, f := holdfast.Judge(err)
			if verdict != holdfast.VerdictUnavailable || f.Class != holdfast.ClassConfig || f.Code != "tls" {
				t.Errorf("got %s %s %s: %v", verdict, f.Class, f.Code, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret-path") {
				t.Errorf("the error names the URL: %v", err)
			}
			if reached.Load() != 0 {
				t.Error("the request was sent")
			}
		})
	}
}

func TestHTTP2IsSpokenWhereOffered(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := testClient(t)
	trust(client, server)
	got, err := post(t, client, server.URL)
	if err != nil || string(got.Body) != "HTTP/2.0" {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestAnUnknownHostIsTriedAgain(t *testing.T) {
	t.Parallel()
	dns := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "secret.example", IsNotFound: true}}
	err := networkVerdict(t.Context(), &url.Error{Op: "Post", URL: "https://secret.example/path", Err: dns}, false)
	var transient *holdfast.TransientError
	if !errors.As(err, &transient) || !transient.Again || transient.Code != "dns" || strings.Contains(err.Error(), "secret") {
		t.Fatalf("got %v", err)
	}
}

func TestATimeoutBeforeTheSendIsCertain(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	t.Cleanup(server.Close)
	client := NewClient(loopback(), ClientOptions{Timeout: 20 * time.Second, Concurrency: 1})
	t.Cleanup(client.Close)
	first := make(chan error, 1)
	go func() {
		_, err := post(t, client, server.URL)
		first <- err
	}()
	<-arrived // and holds the only connection
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.do(req.Context(), req, Call{Body: []byte("x")}, nil)
	if _, f := holdfast.Judge(err); f.Class != holdfast.ClassTimeout || f.Code != "connect_timeout" {
		t.Errorf("got %v, want a time-out with nothing sent", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
}
