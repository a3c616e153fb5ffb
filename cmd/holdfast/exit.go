package main

import (
	"context"
	"errors"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"

	"holdfast.internal/internal/delivery"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

// Exit codes, as docs/reference and scripts know them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitFindings    = 3   // a broken configuration, an incompatible schema, a plan that differs
	exitUnreachable = 4   // or not allowed
	exitPartly      = 5   // finished, some records failed
	exitRefused     = 6   // by a guard: no --yes and no terminal
	exitInterrupted = 130 // by Ctrl-C
)

// exitError ends the command with a code. A nil err prints nothing more.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exit(code int, err error) error { return &exitError{code: code, err: err} }

// exitCode says how the process ends for an error.
func exitCode(ctx context.Context, err error) int {
	var coded *exitError
	var dial *net.OpError
	var dns *net.DNSError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &dial), errors.As(err, &dns), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kafka.ErrNoCoordinator),
		errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.SaslAuthenticationFailed):
		return exitUnreachable
	case errors.Is(err, topics.ErrMissing), errors.Is(err, topics.ErrUnequal), errors.Is(err, delivery.ErrPlaceLost):
		return exitFindings
	}
	return exitFailed
}
