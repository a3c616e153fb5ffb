package sinks

import (
	"io"
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
	none := func() io.Reader { return nil }
	for name, test := range map[string]struct {
		method string
		own    func() io.Reader // the request's own body
		call   Call
	}{
		"a body":               {http.MethodPost, none, Call{Body: []byte("x")}},
		"no body":              {http.MethodGet, none, Call{}},
		"an empty body":        {http.MethodGet, func() io.Reader { return strings.NewReader("") }, Call{}},
		"a body of the sink's": {http.MethodPost, func() io.Reader { return strings.NewReader("x") }, Call{}},
	} {
		t.Run(name, func(t *testing.T) {
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
				req, err := http.NewRequestWithContext(t.Context(), test.method, server.URL, test.own())
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Idempotency-Key", "k")
				_, err = client.do(t.Context(), req, test.call, nil)
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
