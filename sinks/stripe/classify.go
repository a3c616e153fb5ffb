package stripe

import (
	"encoding/json"
	"net/http"
	"strings"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// reply is Stripe's error envelope, as far as verdicts depend on it.
type reply struct {
	Error struct {
		Type        string `json:"type"`
		Code        string `json:"code"`
		DeclineCode string `json:"decline_code"`
		Message     string `json:"message"`
	} `json:"error"`
}

// classify judges an answer of Stripe. Stripe-Should-Retry goes before the
// code in the body, and that before the status; that is the order of Stripe's
// own clients. It is a pure function of the exchange.
func classify(x *sinks.Exchange) error {
	if x.Status >= 200 && x.Status < 300 {
		return nil
	}
	var r reply
	isJSON := json.Unmarshal(x.Body, &r) == nil && (r.Error.Type != "" || r.Error.Message != "")
	if verdict := byCode(x, &r); verdict != nil {
		return verdict
	}
	switch x.Header.Get("Stripe-Should-Retry") {
	case "true":
		return retryAsTold(x)
	case "false":
		return asFinal(x)
	}
	switch {
	case x.Status >= 500 && isJSON && stored(x):
		return unknown(x)
	case x.Status == http.StatusConflict, x.Status == http.StatusFailedDependency:
		return &holdfast.TransientError{Failure: x.Failure(holdfast.ClassConflict)}
	case x.Status >= 400 && x.Status < 500 && x.IsHTML() && !isJSON && final(x.Status):
		// Stripe speaks JSON: this page comes from a proxy in between.
		return &holdfast.TransientError{Failure: x.Failure(holdfast.ClassNetwork)}
	}
	return sinks.Classify(x)
}

// byCode covers answers whose meaning no header changes: a wait is a wait
// whether or not Stripe's own client would retry, and credentials, used-up
// keys and a changed contract are no matter of trying again.
func byCode(x *sinks.Exchange, r *reply) error {
	e := r.Error
	switch {
	case x.Status == http.StatusTooManyRequests:
		return throttled(x, e.Code)
	case e.Type == "idempotency_error" && e.Code != "idempotency_key_in_use":
		f := x.Failure(holdfast.ClassConflict)
		f.Code = "idempotency_error"
		return &holdfast.UnknownError{Failure: f}
	case x.Status == http.StatusConflict && e.Code == "idempotency_key_in_use", e.Code == "lock_timeout":
		return &holdfast.TransientError{Failure: x.Failure(holdfast.ClassConflict), Again: true}
	case x.Status == http.StatusUnauthorized, x.Status == http.StatusForbidden:
		return &holdfast.UnauthorizedError{Failure: x.Failure(holdfast.ClassAuth)}
	case x.Status == http.StatusBadRequest && (e.Code == "parameter_unknown" || e.Code == "parameter_missing"), foreign(x.Status, e.Message):
		return &holdfast.DriftError{Failure: x.Failure(holdfast.ClassContract)}
	}
	return nil
}

// foreign recognises, by their text alone (Stripe gives them no code), a route
// and a version that Stripe does not know, and a parameter on older versions.
func foreign(status int, message string) bool {
	if status != http.StatusBadRequest && status != http.StatusNotFound {
		return false
	}
	for _, start := range []string{"Unrecognized request URL", "Invalid Stripe API version", "Received unknown parameter"} {
		if strings.HasPrefix(message, start) {
			return true
		}
	}
	return false
}

// throttled tells a lock on one object from a limit. Limits without a time
// leave the wait to the engine, which doubles it.
func throttled(x *sinks.Exchange, code string) error {
	reason := x.Header.Get("Stripe-Rate-Limited-Reason")
	if code == "lock_timeout" && reason == "" {
		return &holdfast.TransientError{Failure: x.Failure(holdfast.ClassConflict), Again: true}
	}
	scope := holdfast.ScopeAccount
	switch {
	case strings.HasPrefix(reason, "endpoint-"):
		scope = holdfast.ScopeEndpoint
	case reason == "resource-specific":
		scope = holdfast.ScopeRecord
	}
	return x.Throttled(scope)
}

// retryAsTold follows Stripe-Should-Retry: true, whatever the status.
func retryAsTold(x *sinks.Exchange) error {
	if x.Status >= 500 {
		return sinks.Classify(x)
	}
	return &holdfast.TransientError{Failure: x.Failure(holdfast.ClassConflict), Again: x.Status == http.StatusConflict}
}

// asFinal follows Stripe-Should-Retry: false. A 5xx to a write is then stored
// under the key, and the outcome has to be looked up.
func asFinal(x *sinks.Exchange) error {
	switch {
	case x.Status >= 500 && x.Method != http.MethodGet:
		return unknown(x)
	case x.Status == http.StatusConflict, x.Status == http.StatusFailedDependency:
		return &holdfast.PermanentError{Failure: x.Failure(holdfast.ClassConflict)}
	}
	return sinks.Classify(x)
}

// stored reports whether a 500 will be repeated for ever: it was answered from
// the key's store, or a retry met it again.
func stored(x *sinks.Exchange) bool {
	if x.Method == http.MethodGet || x.Status != http.StatusInternalServerError {
		return false
	}
	original := x.Header.Get("Original-Request")
	return replayed(x.Header) || x.Number > 1 || (original != "" && original != x.Header.Get("Request-Id"))
}

func replayed(h http.Header) bool { return h.Get("Idempotent-Replayed") == "true" }

func unknown(x *sinks.Exchange) error {
	return &holdfast.UnknownError{Failure: x.Failure(holdfast.ClassUncertain)}
}

func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly:
		return false
	}
	return true
}
