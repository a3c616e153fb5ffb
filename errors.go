package holdfast

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// Failure is the evidence that every verdict but delivered carries. Its fields
// end in headers, metrics and logs, so none may hold a secret, and Detail only
// what masking left.
type Failure struct { //nolint:errname // the evidence within an error, which is one only by being embedded
	Class     Class
	Code      string // the vendor's code (card_declined), or ours where no vendor spoke (undecodable)
	Status    int    // HTTP status; 0 if nobody answered
	RequestID string // the vendor's name for the request
	Detail    string // redacted excerpt of the answer
	Err       error  // what went wrong, for errors.Is and the log
}

// Error describes the failure in one line: class, status, code, cause.
func (f Failure) Error() string {
	s := string(f.Class)
	if f.Status != 0 {
		s += " " + strconv.Itoa(f.Status)
	}
	if f.Code != "" {
		s += " " + f.Code
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (f Failure) Unwrap() error { return f.Err }

// OfSchema reports whether a value had no schema that could be used, or did not
// fit it.
func (f Failure) OfSchema() bool {
	return f.Class == ClassSchema || f.Class == ClassPoison && f.Code == "undecodable" || f.Class == ClassTransform && f.Code == "unencodable"
}

func (f Failure) failure() Failure { return f }

// The verdicts. A sink returns nil for delivered, or one of these, wrapped or not.
type (
	// TransientError may work later. Again asks for a quick repeat within the
	// same attempt (lock conflicts, refused connections).
	TransientError struct {
		Failure
		Again bool
	}
	// ThrottledError asks to hold Scope for Wait; 0 leaves the wait to the engine.
	ThrottledError struct {
		Failure
		Wait  time.Duration
		Scope Scope
	}
	// UnavailableError means that the destination as a whole is down.
	UnavailableError struct{ Failure }
	// UnauthorizedError means that the credentials were refused.
	UnauthorizedError struct{ Failure }
	// PermanentError means that this record will never work.
	PermanentError struct{ Failure }
	// DriftError means that the vendor's contract changed.
	DriftError struct{ Failure }
	// UnknownError means that the request was sent and its outcome is not known.
	UnknownError struct{ Failure }
	// SplitError means that a batch failed as a whole.
	SplitError struct{ Failure }
)

// Scope says how far a throttle reaches.
type Scope string

// The scopes, widest first. An endpoint is that of the attempt's last request,
// by the name that the sink gave it; without a name it is the account.
const (
	ScopeAccount  Scope = "account"
	ScopeTenant   Scope = "tenant"
	ScopeEndpoint Scope = "endpoint"
	ScopeRecord   Scope = "record"
)

// Transient wraps err as a [TransientError] of the given class; nil stays nil.
func Transient(class Class, err error) error {
	if err == nil {
		return nil
	}
	return &TransientError{Failure: Failure{Class: class, Err: err}}
}

// Permanent wraps err as a [PermanentError] of the given class and code; nil stays nil.
func Permanent(class Class, code string, err error) error {
	if err == nil {
		return nil
	}
	return &PermanentError{Failure{Class: class, Code: code, Err: err}}
}

// Verdict names what an attempt showed; it is the outcome label of metrics.
type Verdict string

// The verdicts' names.
const (
	VerdictDelivered    Verdict = "delivered"
	VerdictTransient    Verdict = "transient"
	VerdictThrottled    Verdict = "throttled"
	VerdictUnavailable  Verdict = "unavailable"
	VerdictUnauthorized Verdict = "unauthorized"
	VerdictPermanent    Verdict = "permanent"
	VerdictDrift        Verdict = "drift"
	VerdictUnknown      Verdict = "unknown"
	VerdictSplit        Verdict = "split"
)

// Judge names the verdict that err carries and returns its evidence. An error
// that is no verdict is transient: of class timeout if its deadline passed,
// else unknown.
func Judge(err error) (Verdict, Failure) {
	if err == nil {
		return VerdictDelivered, Failure{}
	}
	var f interface {
		error
		failure() Failure
	}
	if !errors.As(err, &f) {
		class := ClassUnknown
		if errors.Is(err, context.DeadlineExceeded) {
			class = ClassTimeout
		}
		return VerdictTransient, Failure{Class: class, Err: err}
	}
	verdict := VerdictTransient
	switch f.(type) {
	case *ThrottledError:
		verdict = VerdictThrottled
	case *UnavailableError:
		verdict = VerdictUnavailable
	case *UnauthorizedError:
		verdict = VerdictUnauthorized
	case *PermanentError:
		verdict = VerdictPermanent
	case *DriftError:
		verdict = VerdictDrift
	case *UnknownError:
		verdict = VerdictUnknown
	case *SplitError:
		verdict = VerdictSplit
	}
	return verdict, f.failure()
}
