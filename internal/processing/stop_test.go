//go:build synctests

package processing

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/processors"
)

// hush is a network on which brokers fall silent: they take what is written
// and answer nothing.
type hush struct {
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	silent atomic.Bool
}

func (h *hush) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := h.dial(ctx, network, addr)
	return &hushed{conn, h}, err
}

type hushed struct {
	net.Conn
	wire *hush
}

func (c *hushed) Write(b []byte) (int, error) {
	if c.wire.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestStopsWithoutABroker: a worker in the middle of a transaction whose
// broker has gone, or says nothing more, still stops within 25 s; what it did
// not finish is made once by the next one.
func TestStopsWithoutABroker(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*cable, *hush){
		"gone":   func(c *cable, _ *hush) { c.pull() },
		"silent": func(_ *cable, h *hush) { h.silent.Store(true) },
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var vn kfake.VirtualNetwork
				w := newWorld(t, 2, []kfake.Opt{kfake.Ports(9092), kfake.ListenFn(vn.Listen)}, kgo.Dialer(vn.DialContext))
				h := &hush{dial: vn.DialContext}
				c := &cable{base: h.connect}
				inFlight := make(chan struct{})
				var lost atomic.Bool
				fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: out, Observe: true, Count: -1, When: func(kmsg.Request) bool {
					if lost.CompareAndSwap(false, true) {
						lose(c, h)
						close(inFlight)
					}
					return true
				}})
				defer fault.Remove()
				stop := w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}, kgo.Dialer(c.dial)))
				inputs, want := numbered(100)
				for i, v := range inputs {
					w.put(in, int32(i%2), v)
				}
				<-inFlight
				began := time.Now()
				_ = stop()
				if took := time.Since(began); took > 25*time.Second {
					t.Errorf("took %s to stop", took)
				}
				w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
				w.read(out, len(want), time.Minute)
				once(t, w.all(out), want)
			})
		})
	}
}
