//go:build synctests

package delivery

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/kafka/kafkatest"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/sinks"
)

// TestP3AWorkerThatIsCutOffStopsBeforeItIsReplaced: its brokers fall silent,
// its vendor does not (fault matrix 20, 24). What it holds in memory would last
// for longer than its session.
func TestP3AWorkerThatIsCutOffStopsBeforeItIsReplaced(t *testing.T) {
	t.Parallel()
	const events, latency, silence = 24_000, 30 * time.Millisecond, 40 * time.Second
	type send struct {
		event    string
		from, to time.Duration
	}
	inFleet(t, vendorsim.Options{}, func(f *fleet) {
		f.spread(events)
		worker := func(wire *kafkatest.Wire) (sent *[]send, stop func()) {
			sent = &[]send{}
			return sent, f.replica(fleetConfig(), func(d *Deps, _ *quota.Shares, _ func() float64) {
				d.Kafka = append(slices.Clip(d.Kafka), kgo.Dialer(wire.Connect))
				d.Sink = sinks.Func(func(_ context.Context, a *sinks.Attempt) error {
					from := time.Since(f.began)
					pass(latency)
					f.mu.Lock()
					defer f.mu.Unlock()
					*sent = append(*sent, send{a.Event.ID, from, time.Since(f.began)})
					return nil
				})
			})
		}
		wire := kafkatest.NewWire(f.network.DialContext)
		cut, stopCut := worker(wire)
		defer stopCut()
		whole, stopWhole := worker(kafkatest.NewWire(f.network.DialContext))
		defer stopWhole()
		pass(5 * time.Second)
		wire.Silence(true)
		at := time.Since(f.began)
		pass(silence)
		wire.Silence(false)
		pass(30 * time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		began := map[string]time.Duration{} // by the other, of what the one sends too
		for _, s := range *whole {
			began[s.event] = s.from
		}
		last, twice, at8 := time.Duration(0), 0, 0
		for _, s := range *cut {
			other, both := began[s.event]
			if both {
				twice++
			}
			if both && s.to > other && s.from < other+latency {
				t.Errorf("event %s was in flight at both, from %s and from %s", s.event, s.from, other)
			}
			if s.from < at+silence {
				last = max(last, s.from)
			}
			if at < s.from && s.from < at+kafka.Session {
				at8++
			}
		}
		t.Logf("cut off at %s, sent on until %s (%d events); %d sent by both", at, last, at8, twice)
		if last > at+kafka.Session {
			t.Errorf("sent at %s, though the last heartbeat was answered before %s", last, at)
		}
		all := map[string]bool{}
		for _, s := range append(*cut, *whole...) {
			all[s.event] = true
		}
		if len(all) != events {
			t.Errorf("%d of %d events were sent", len(all), events)
		}
	})
}
