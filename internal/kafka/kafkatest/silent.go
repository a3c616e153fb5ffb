// Package kafkatest holds what tests need of brokers that misbehave.
package kafkatest

import (
	"context"
	"net"
	"sync/atomic"
)

// Dial opens a connection, as [net.Dialer.DialContext] does.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Wire is a network on which brokers may fall silent: they take what is
// written and answer nothing, as behind a firewall that drops. It is safe for
// concurrent use.
type Wire struct {
	dial   Dial
	silent atomic.Bool
}

// NewWire makes a wire over a network; it lets everything through.
func NewWire(dial Dial) *Wire { return &Wire{dial: dial} }

// Silence ends, or begins again, what goes through the wire; what was written
// while it was silent is lost.
func (w *Wire) Silence(on bool) { w.silent.Store(on) }

// Connect is for kgo.Dialer.
func (w *Wire) Connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := w.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &end{conn, w}, nil
}

type end struct {
	net.Conn
	wire *Wire
}

// Write loses b while the wire is silent.
func (e *end) Write(b []byte) (int, error) {
	if e.wire.silent.Load() {
		return len(b), nil
	}
	return e.Conn.Write(b)
}
