package vendorsim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// faults says how the vendor misbehaves, and until when.
type faults struct {
	Kinds []string `json:"kinds"`
	Rate  float64  `json:"rate"`
	// For is how long, as a duration; "" is until told otherwise.
	For         string `json:"for,omitempty"`
	MaxPerEvent int    `json:"max_per_event,omitempty"`

	until time.Time
	hits  map[string]int
}

func faultKinds() []string {
	return []string{"400", "401", "402", "403", "409", "429", "500", "502", "503", "504", "hang", "timeout", "reset", "applied_then_reset", "applied_then_timeout"}
}

// draw picks the fault of a request, "" for none.
func (f *faults) draw(event string) string {
	if len(f.Kinds) == 0 || (!f.until.IsZero() && time.Now().After(f.until)) || rand.Float64() >= f.Rate { //nolint:gosec // chance, not secrecy
		return ""
	}
	if f.MaxPerEvent > 0 {
		if f.hits[event] >= f.MaxPerEvent {
			return ""
		}
		f.hits[event]++
	}
	return f.Kinds[rand.IntN(len(f.Kinds))] //nolint:gosec // chance, not secrecy
}

func (s *Server) setFaults(w http.ResponseWriter, r *http.Request) {
	f := faults{hits: map[string]int{}}
	if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
		http.Error(w, `want {"kinds": ["503"], "rate": 0.2, "for": "60s"}: `+err.Error(), http.StatusBadRequest)
		return
	}
	for _, kind := range f.Kinds {
		if !slices.Contains(faultKinds(), kind) {
			http.Error(w, fmt.Sprintf("kind %q must be one of %v", kind, faultKinds()), http.StatusBadRequest)
			return
		}
	}
	if f.For != "" {
		d, err := time.ParseDuration(f.For)
		if err != nil {
			http.Error(w, "for: "+err.Error(), http.StatusBadRequest)
			return
		}
		f.until = time.Now().Add(d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

func (s *Server) showFaults(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(s.faults)
}

// fail answers with a status, in Stripe's words.
func fail(w http.ResponseWriter, kind string) {
	status, _ := strconv.Atoi(kind)
	switch {
	case status == http.StatusTooManyRequests:
		w.Header().Set("Stripe-Rate-Limited-Reason", "global-rate")
		stripeError(w, status, "invalid_request_error", "rate_limit", "Too many requests.")
	case status == http.StatusUnauthorized:
		stripeError(w, status, "invalid_request_error", "api_key_expired", "Expired API key.")
	case status == http.StatusPaymentRequired:
		stripeError(w, status, "card_error", "card_declined", "Your card was declined.")
	case status == http.StatusConflict:
		stripeError(w, status, "idempotency_error", "idempotency_key_in_use", "The key is in use.")
	case status >= http.StatusInternalServerError:
		http.Error(w, "upstream failure", status) // not stored under the key
	default:
		stripeError(w, status, "invalid_request_error", "", "Refused on request.")
	}
}
