package sinks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"

	"holdfast.internal"
)

// networkError prints a fixed phrase. The errors of net/http carry the URL, and
// those of a malformed answer what the peer sent; both stay out of logs.
type networkError struct {
	text  string
	cause error
}

// Error returns the phrase.
func (e *networkError) Error() string { return e.text }

// Unwrap returns the cause without the URL.
func (e *networkError) Unwrap() error { return e.cause }

// networkVerdict says what an attempt showed that no answer came back from.
// sent reports whether bytes of the request may have left; then the outcome
// is not known, and only the same key again can tell.
func networkVerdict(ctx context.Context, err error, sent bool) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	cause := func(text string) error { return &networkError{text: text, cause: err} }
	if refused := refusedByUs(err, cause); refused != nil {
		return refused
	}
	if sent {
		return afterSend(err, cause)
	}
	if errors.Is(context.Cause(ctx), context.Canceled) || errors.Is(err, context.Canceled) {
		return cause("cancelled before anything was sent")
	}
	return beforeSend(err, cause)
}

// refusedByUs covers what this side refused to talk to. That is a matter of
// the destination and never of the record, so it is unavailable: the breaker
// holds the sink, and no record spends an attempt on a wrong setting or an
// expired certificate.
func refusedByUs(err error, cause func(string) error) error {
	unavailable := func(code, text string) error {
		return &holdfast.UnavailableError{Failure: holdfast.Failure{Class: holdfast.ClassConfig, Code: code, Err: cause(text)}}
	}
	switch {
	case errors.Is(err, errBlocked):
		return unavailable("blocked_address", errBlocked.Error())
	case errors.Is(err, errScheme):
		return unavailable("blocked_address", errScheme.Error())
	case isTLS(err):
		return unavailable("tls", "tls: "+printable(err.Error()))
	}
	return nil
}

func beforeSend(err error, cause func(string) error) error {
	transient := func(class holdfast.Class, code, text string) error {
		return &holdfast.TransientError{Failure: holdfast.Failure{Class: class, Code: code, Err: cause(text)}, Again: true}
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return transient(holdfast.ClassNetwork, "dns", "dns: "+printable(dns.Err))
	case errors.Is(err, syscall.ECONNREFUSED):
		return transient(holdfast.ClassNetwork, "refused", "connect: connection refused")
	case isTimeout(err):
		// No second try in the same attempt: the time is spent.
		return &holdfast.TransientError{Failure: holdfast.Failure{
			Class: holdfast.ClassTimeout, Code: "connect_timeout", Err: cause("timed out before anything was sent"),
		}}
	}
	return transient(holdfast.ClassNetwork, "connect", "no connection")
}

func afterSend(err error, cause func(string) error) error {
	code, text := "bad_answer", "answer is not valid HTTP"
	switch {
	case errors.Is(err, context.Canceled):
		code, text = "cancelled", "cancelled after the request was sent"
	case isTimeout(err):
		code, text = "timeout", "no whole answer within the time-out"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		code, text = "reset", "connection reset after the request was sent"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		code, text = "closed", "connection closed before the whole answer"
	}
	return &holdfast.TransientError{Failure: holdfast.Failure{
		Class: holdfast.ClassUncertain, Code: code, Err: cause(text),
	}}
}

// unanswered is the verdict of a request whose stream the vendor ended: most
// often it goes away politely, and has begun with nothing that it did not answer.
func unanswered(err error) error {
	return &holdfast.TransientError{Again: true, Failure: holdfast.Failure{
		Class: holdfast.ClassUncertain, Code: "unanswered", Err: &networkError{text: "the stream ended without an answer", cause: err},
	}}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		(errors.As(err, &n) && n.Timeout())
}

// isTLS reports a failed handshake: a certificate that does not verify, a
// protocol version, an alert of the peer, or no TLS at all.
func isTLS(err error) bool {
	var (
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		host   x509.HostnameError
		issuer x509.UnknownAuthorityError
		cert   x509.CertificateInvalidError
	)
	if errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) ||
		errors.As(err, &host) || errors.As(err, &issuer) || errors.As(err, &cert) {
		return true
	}
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return true
	}
	// crypto/tls has no type for a refused protocol version.
	text := err.Error()
	return strings.HasPrefix(text, "tls: ") || strings.Contains(text, "server gave HTTP response to HTTPS client")
}

const maxPhrase = 200

// printable bounds text and escapes what a terminal or a log would interpret.
func printable(text string) string {
	if len(text) > maxPhrase {
		text = text[:maxPhrase]
	}
	quoted := strconv.QuoteToASCII(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
