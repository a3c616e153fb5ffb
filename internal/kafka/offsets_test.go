//go:build synctests

package kafka

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestCommittedOffsetsOutliveTheirCoordinator: a broker dies, is the coordinator
// for ten seconds more as the others see it, and then another is.
func TestCommittedOffsetsOutliveTheirCoordinator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const group = "g"
		var vn kfake.VirtualNetwork
		c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.Ports(9092, 9093), kfake.ListenFn(vn.Listen), kfake.SeedTopics(1, topic))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		healthy := client(t, c, kgo.Dialer(vn.DialContext))
		adm := kadm.NewClient(healthy)
		if err := adm.CommitAllOffsets(t.Context(), group, kadm.OffsetsFromRecords(kgo.Record{Topic: topic, Offset: 6})); err != nil {
			t.Fatal(err)
		}
		found := adm.FindGroupCoordinators(t.Context(), group)
		next := found[group].NodeID
		dead := 1 - next
		began := time.Now()
		c.ControlKey(int16(kmsg.FindCoordinator), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if time.Since(began) > 10*time.Second {
				return nil, nil, false
			}
			resp, ok := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
			if !ok {
				return nil, nil, false
			}
			host := kmsg.NewFindCoordinatorResponseCoordinator()
			host.Key, host.NodeID, host.Host, host.Port = group, dead, "127.0.0.1", 9092+dead
			resp.Coordinators = append(resp.Coordinators, host)
			return resp, nil, true
		})
		var dials atomic.Int32
		cl := client(t, c, kgo.SeedBrokers(c.ListenAddrs()[next]), kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == c.ListenAddrs()[dead] {
				dials.Add(1)
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}
			return vn.DialContext(ctx, network, addr)
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done, err := CommittedOffsets(ctx, cl, group)
		took := time.Since(began)
		t.Logf("after %s and %d dials", took, dials.Load())
		if at, ok := done.Lookup(topic, 0); err != nil || !ok || at.At != 7 {
			t.Errorf("offset %d (%t), %v", at.At, ok, err)
		}
		if took < 10*time.Second || took > 11*time.Second || dials.Load() == 0 {
			t.Errorf("after %s and %d dials", took, dials.Load())
		}
		if done, err := CommittedOffsets(ctx, cl, "nobody"); err != nil || len(done) != 0 {
			t.Errorf("a group that does not exist: %v, %v", done, err)
		}
	})
}
