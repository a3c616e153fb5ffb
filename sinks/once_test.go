package sinks

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast.internal"
)

// TestP6ARequestIsSentOnce: a vendor answers the first request of a connection
// and hangs up at the second, having read it. What is in doubt then is the
// engine's matter, which pays for each request.
func TestP6ARequestIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			const requests = 20
			var arrived atomic.Int64
			var seen sync.Map // connections
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				arrived.Add(1)
				if _, again := seen.LoadOrStore(r.RemoteAddr, true); again {
					hijacked, _, err := http.NewResponseController(w).Hijack()
					if err == nil {
						_ = hijacked.Close()
					}
				}
			}))
			t.Cleanup(server.Close)
			client := testClient(t)
			uncertain := 0
			for range requests {
				req, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
				if method == http.MethodPost {
					req, err = http.NewRequestWithContext(t.Context(), method, server.URL, strings.NewReader("x"))
				}
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Idempotency-Key", "k")
				_, err = client.do(t.Context(), req, 0, 0)
				if _, f := holdfast.Judge(err); err != nil && f.Class == holdfast.ClassUncertain {
					uncertain++
				}
			}
			if got := arrived.Load(); got != requests || uncertain != requests/2 {
				t.Errorf("%d requests arrived of %d that were sent; %d uncertain, want half", got, requests, uncertain)
			}
		})
	}
}
