// Package vendorsim is a simulated vendor for `holdfast dev` and tests: a
// Stripe with real validation, limits and idempotency, and a plain endpoint
// that records what it is sent. It can be told to fail in the ways in which
// vendors fail, and keeps a ledger of what took effect, which tests compare
// with what was meant.
package vendorsim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Options say where the simulator listens, what it keeps and what it allows.
type Options struct {
	Addr     string       // host:port, where Listener is nil
	Listener net.Listener // for tests that dial a virtual network
	DataDir  string       // keeps the ledger over restarts; "" keeps it in memory
	// Rate and EndpointRate are requests per second, of the account (100) and of
	// one endpoint (25 in Stripe's documentation); 0 is no limit.
	Rate, EndpointRate float64
}

// Server is a running simulator.
type Server struct {
	http *http.Server
	url  string

	mu       sync.Mutex
	state    *state
	faults   faults
	refused  []string
	requests []Request
	limits   map[string]*rate.Limiter
	options  Options
}

// Request is one request as /_sim/requests shows it.
type Request struct {
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Key    string    `json:"idempotency_key,omitempty"`
	Event  string    `json:"business_key,omitempty"`
	Status int       `json:"status"` // 0: no answer
}

// keptRequests bounds what /_sim/requests shows.
const keptRequests = 10_000

// Start starts a simulator.
func Start(o Options) (*Server, error) {
	st, err := openState(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("vendor simulator: %w", err)
	}
	l := o.Listener
	if l == nil {
		if l, err = net.Listen("tcp", o.Addr); err != nil { //nolint:noctx // binding loopback does not wait
			return nil, fmt.Errorf("vendor simulator: %w", err)
		}
	}
	s := &Server{state: st, url: "http://" + l.Addr().String(), options: o, limits: map[string]*rate.Limiter{}}
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.http.Serve(l) }()
	return s, nil
}

// URL is the simulator's base URL.
func (s *Server) URL() string { return s.url }

// Applied lists what took effect, as /_sim/applied does.
func (s *Server) Applied() []Applied {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.ledger()
}

// Close stops the simulator.
func (s *Server) Close() {
	_ = s.http.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.close()
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/applied", s.showApplied)
	mux.HandleFunc("GET /_sim/requests", s.showRequests)
	mux.HandleFunc("GET /_sim/faults", s.showFaults)
	mux.HandleFunc("POST /_sim/faults", s.setFaults)
	mux.HandleFunc("POST /_sim/refuse", s.setRefused)
	mux.HandleFunc("DELETE /_sim/refuse", s.setRefused)
	mux.HandleFunc("POST /_sim/reset", s.reset)
	mux.HandleFunc("/hooks/", s.vendor(s.hook))
	mux.HandleFunc("/v1/", s.vendor(s.stripe))
	return mux
}

// exchange is one request of the vendor's API.
type exchange struct {
	*http.Request
	form  url.Values
	body  []byte
	key   string // idempotency key
	event string // business key
}

// maxRequest bounds a request's body.
const maxRequest = 1 << 20

// vendor wraps an API with faults, limits and the record of requests.
func (s *Server) vendor(api func(http.ResponseWriter, *exchange)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		x := &exchange{Request: r, body: body, key: r.Header.Get("Idempotency-Key")}
		x.form, _ = url.ParseQuery(string(body))
		s.mu.Lock()
		x.event = s.state.eventOf(x)
		s.state.countRequest(x)
		fault := s.faults.draw(x.event)
		s.mu.Unlock()
		status := s.answer(w, x, fault, api) //nolint:contextcheck // the exchange has its request's context
		s.record(Request{At: time.Now().UTC(), Method: r.Method, Path: r.URL.Path, Key: x.key, Event: x.event, Status: status})
	}
}

// answer lets a fault or the API answer, and returns the status.
func (s *Server) answer(w http.ResponseWriter, x *exchange, fault string, api func(http.ResponseWriter, *exchange)) int {
	switch fault {
	case "":
		rec := httptest.NewRecorder()
		if !s.allow(rec, x) {
			return copyTo(w, rec)
		}
		api(rec, x)
		return copyTo(w, rec)
	case "hang", "timeout":
		wait(x.Context(), time.Minute)
		return 0
	case "applied_then_reset", "applied_then_timeout":
		api(httptest.NewRecorder(), x)
		if fault == "applied_then_timeout" {
			wait(x.Context(), time.Minute)
		}
		reset(w)
		return 0
	case "reset":
		reset(w)
		return 0
	}
	rec := httptest.NewRecorder()
	fail(rec, fault)
	return copyTo(w, rec)
}

func copyTo(w http.ResponseWriter, rec *httptest.ResponseRecorder) int {
	maps.Copy(w.Header(), rec.Header())
	w.Header().Set("Request-Id", fmt.Sprintf("req_%012x", rand.Uint64()>>16)) //nolint:gosec // a name, not a secret
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
	return rec.Code
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// reset cuts the connection without an answer.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// allow enforces the limits, as Stripe does: 429 with the reason in a header.
func (s *Server) allow(w http.ResponseWriter, x *exchange) bool {
	endpoint := x.Method + " " + endpointOf(x.URL.Path)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range []struct {
		name, reason string
		rate         float64
	}{{"", "global-rate", s.options.Rate}, {endpoint, "endpoint-rate", s.options.EndpointRate}} {
		if l.rate <= 0 {
			continue
		}
		if s.limits[l.name] == nil {
			s.limits[l.name] = rate.NewLimiter(rate.Limit(l.rate), max(1, int(l.rate)))
		}
		if !s.limits[l.name].Allow() {
			w.Header().Set("Stripe-Rate-Limited-Reason", l.reason)
			stripeError(w, http.StatusTooManyRequests, "invalid_request_error", "rate_limit", "Too many requests.")
			return false
		}
	}
	return true
}

// endpointOf drops ids from a path.
func endpointOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) > 2 && strings.Contains(parts[2], "_") {
		parts[2] = "{id}"
	}
	return strings.Join(parts, "/")
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) >= keptRequests {
		s.requests = append(s.requests[:0], s.requests[keptRequests/2:]...)
	}
	s.requests = append(s.requests, r)
}

func (s *Server) showApplied(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	lines := s.state.ledger()
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for _, l := range lines {
		if enc.Encode(l) != nil {
			return
		}
	}
}

func (s *Server) showRequests(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	lines := append([]Request(nil), s.requests...)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for _, l := range lines {
		if enc.Encode(l) != nil {
			return
		}
	}
}

func (s *Server) reset(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.refused, s.requests = faults{}, nil, nil
	if err := s.state.reset(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *Server) setRefused(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Events []string `json:"events"` // parts of business keys
	}
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&body) != nil {
		http.Error(w, `want {"events": ["part of a business key"]}`, http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = body.Events
}
