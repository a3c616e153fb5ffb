package stripe_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks/sinktest"
)

// TestStripeMockAcceptsEveryRequest lets Stripe's own mock judge names, types,
// nesting and version of all that the sink sends.
func TestStripeMockAcceptsEveryRequest(t *testing.T) {
	t.Parallel()
	judge := startMock(t)
	var mu sync.Mutex
	var refused []string
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(judge) },
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode != http.StatusOK {
				mu.Lock()
				refused = append(refused, r.Request.Method+" "+r.Request.URL.Path+": "+r.Status)
				mu.Unlock()
			}
			return nil
		},
	}
	vendor := sinktest.NewVendor(t, proxy)
	sink := open(t, vendor.URL, sinktest.Deps(t, 20*time.Second))
	for name, a := range map[string]string{"with an address": "ada@example.com", "without one": ""} {
		attempt := of(name, "c-1", a)
		attempt.First = time.Now()
		deliver(t, sink, attempt)
		if _, err := sink.LookUp(t.Context(), attempt); err != nil {
			t.Errorf("%s: LookUp: %v", name, err)
		}
	}
	if n := len(vendor.Requests()); n < 12 || len(refused) != 0 {
		t.Errorf("of %d requests refused: %v", n, refused)
	}
	t.Logf("%d requests, all accepted", len(vendor.Requests()))
}

// TestStripeMockCanRefuse proves that the judge would notice.
func TestStripeMockCanRefuse(t *testing.T) {
	t.Parallel()
	judge := startMock(t)
	vendor := sinktest.NewVendor(t, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(judge)
		q := r.Out.URL.Query()
		q.Set("no_such_parameter", "1")
		r.Out.URL.RawQuery = q.Encode()
	}})
	sink := open(t, vendor.URL, sinktest.Deps(t, 20*time.Second))
	if v, _ := holdfast.Judge(sink.Deliver(t.Context(), command(1))); v == holdfast.VerdictDelivered {
		t.Fatal("an unknown parameter was accepted")
	}
}

// startMock starts the stripe-mock of HOLDFAST_STRIPE_MOCK and ends it with the test.
func startMock(t *testing.T) *url.URL {
	t.Helper()
	path := os.Getenv("HOLDFAST_STRIPE_MOCK")
	if path == "" {
		t.Skip("SKIPPED: HOLDFAST_STRIPE_MOCK does not name a stripe-mock")
	}
	// Without both addresses it listens on all interfaces too.
	plain, tls := freeAddress(t), freeAddress(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, path, "-strict-version-check", "-http-addr", plain, "-https-addr", tls)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	awaitListener(t, plain)
	return &url.URL{Scheme: "http", Host: plain}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func awaitListener(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("stripe-mock did not start")
		case <-tick.C:
		}
	}
}
