//go:build synctests

package delivery

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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

// TestTheRightToSend ends with the session and with being given up, and asking
// to join gives none back.
func TestTheRightToSend(t *testing.T) {
	t.Parallel()
	const heartbeat, join, sync = "heartbeat", "join", "sync"
	for name, c := range map[string]struct {
		gone time.Duration // since the last heartbeat that was answered
		end  bool
		then string
		may  bool
	}{
		"a member":                                     {time.Second, false, "", true},
		"a member that asks to join":                   {time.Second, false, join, true},
		"who was away":                                 {9 * time.Second, false, "", false},
		"who was away and asks to join":                {9 * time.Second, false, join, false},
		"who was away and has an assignment":           {9 * time.Second, false, sync, false},
		"who was away and is answered":                 {9 * time.Second, false, heartbeat, true},
		"who was given up":                             {time.Second, true, "", false},
		"who was given up, and is answered by whoever": {time.Second, true, heartbeat, false},
		"who was given up and asks to join":            {time.Second, true, join, false},
		"who was given up and is assigned shards":      {time.Second, true, "assigned", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var f fence
				answer := func(key kmsg.Key) { f.OnBrokerE2E(kgo.BrokerMetadata{}, int16(key), kgo.BrokerE2E{}) }
				answer(kmsg.Heartbeat)
				pass(c.gone)
				if c.end {
					f.end()
				}
				switch c.then {
				case heartbeat:
					answer(kmsg.Heartbeat)
				case sync:
					answer(kmsg.SyncGroup)
				case join:
					f.OnBrokerWrite(kgo.BrokerMetadata{}, int16(kmsg.JoinGroup), 0, 0, 0, nil)
				case "assigned":
					f.assigned()
				}
				if may := f.wait(time.Now()) == 0; may != c.may {
					t.Errorf("may send: %v, want %v", may, c.may)
				}
			})
		})
	}
}
