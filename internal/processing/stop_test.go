//go:build synctests

package processing

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/internal/kafka/kafkatest"
	"holdfast.internal/processors"
)

// TestStopsWithoutABroker: a worker in the middle of a transaction whose
// broker has gone, or says nothing more, still stops within 25 s; what it did
// not finish is made once by the next one.
func TestStopsWithoutABroker(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*cable, *kafkatest.Wire){
		"gone":   func(c *cable, _ *kafkatest.Wire) { c.pull() },
		"silent": func(_ *cable, h *kafkatest.Wire) { h.Silence(true) },
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var vn kfake.VirtualNetwork
				w := newWorld(t, 2, []kfake.Opt{kfake.Ports(9092), kfake.ListenFn(vn.Listen)}, kgo.Dialer(vn.DialContext))
				h := kafkatest.NewWire(vn.DialContext)
				c := &cable{base: h.Connect}
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
