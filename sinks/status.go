package sinks

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"time"

	"holdfast.internal"
)

// Exchange is all that a classifier may look at, so that classification can be
// tested on recorded answers.
type Exchange struct {
	Method string
	Response
	// Number is the attempt's, from 1.
	Number int
	// Conflicted says that an earlier attempt of this record met a conflict too.
	Conflicted bool
	// Sent are texts that the request held. They are masked where the answer repeats them.
	Sent []string
	// Now dates waits where the answer has no Date.
	Now time.Time
}

var (
	errStatus   = errors.New("refused by the destination")
	errRedirect = errors.New("redirects are not followed")
)

// Classify judges an answer by its status alone, as far as HTTP's own rules
// go; it is what a sink without rules of its own uses, and what a vendor's
// rules fall back on. nil means delivered.
func Classify(x *Exchange) error {
	s := x.Status
	switch {
	case s >= 200 && s < 300:
		return nil
	case s >= 300 && s < 400:
		f := x.Failure(holdfast.ClassConfig)
		f.Code, f.Err = "redirect", errRedirect
		return &holdfast.DriftError{Failure: f}
	case s == http.StatusTooManyRequests:
		return x.Throttled(holdfast.ScopeAccount)
	case s == http.StatusNotImplemented:
		return &holdfast.DriftError{Failure: x.Failure(holdfast.ClassContract)}
	case s >= 500:
		return x.serverError()
	}
	return x.clientError()
}

// Throttled asks to hold scope for as long as the answer says; 0 where it says
// nothing leaves the wait to the engine.
func (x *Exchange) Throttled(scope holdfast.Scope) error {
	wait, _ := Wait(x.Header, x.Now)
	return &holdfast.ThrottledError{Failure: x.Failure(holdfast.ClassRateLimited), Wait: wait, Scope: scope}
}

// serverError is transient, unless the destination says when to come back:
// then it is obeyed like any Retry-After, and costs no attempt.
func (x *Exchange) serverError() error {
	f := x.Failure(holdfast.ClassVendor5xx)
	if wait, ok := RetryAfter(x.Header.Get("Retry-After"), x.Header.Get("Date"), x.Now); ok && wait > 0 {
		return &holdfast.ThrottledError{Failure: f, Wait: wait, Scope: holdfast.ScopeAccount}
	}
	return &holdfast.TransientError{Failure: f}
}

func (x *Exchange) clientError() error {
	switch x.Status {
	case http.StatusRequestTimeout:
		return &holdfast.TransientError{Failure: x.Failure(holdfast.ClassTimeout)}
	case http.StatusTooEarly:
		return &holdfast.TransientError{Failure: x.Failure(holdfast.ClassNetwork)}
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return &holdfast.UnauthorizedError{Failure: x.Failure(holdfast.ClassAuth)}
	case http.StatusConflict:
		// A request with the same key may still be running; a conflict that is
		// there again a tier later is about the record.
		if !x.Conflicted {
			return &holdfast.TransientError{Failure: x.Failure(holdfast.ClassConflict)}
		}
		return &holdfast.PermanentError{Failure: x.Failure(holdfast.ClassConflict)}
	case http.StatusGone, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return &holdfast.DriftError{Failure: x.Failure(holdfast.ClassContract)}
	case http.StatusNotFound:
		return &holdfast.PermanentError{Failure: x.Failure(holdfast.ClassNotFound)}
	}
	return &holdfast.PermanentError{Failure: x.Failure(holdfast.ClassValidation)}
}

// Failure is the evidence in an answer: its status, the names it gives the
// request and the error, and a masked excerpt.
func (x *Exchange) Failure(class holdfast.Class) holdfast.Failure {
	code, message := excerpt(x.Body, x.Header.Get("Content-Type"))
	return holdfast.Failure{
		Class:     class,
		Code:      safeCode(code, x.Sent),
		Status:    x.Status,
		RequestID: safeCode(requestID(x.Header), x.Sent),
		Detail:    Mask(message, x.Sent),
		Err:       errStatus,
	}
}

// IsHTML reports whether the answer is a web page. From an API that speaks
// JSON it comes from a proxy in between.
func (x *Exchange) IsHTML() bool {
	return strings.HasPrefix(strings.ToLower(x.Header.Get("Content-Type")), "text/html")
}

// RequestID is the vendor's id of a request that it took, by whichever of the
// usual names; "" for none, and for one that repeats what was sent.
func RequestID(h http.Header, sent []byte) string {
	id := safeCode(requestID(h), nil)
	if bytes.Contains(sent, []byte(id)) {
		return ""
	}
	return id
}

func requestID(h http.Header) string {
	for _, name := range []string{"Request-Id", "X-Request-Id", "X-Correlation-Id"} {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}
