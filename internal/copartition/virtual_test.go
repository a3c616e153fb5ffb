//go:build synctests

package copartition

import (
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestVirtualDynamic(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, driveDynamic)
}

func TestVirtualStatic(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, driveStatic)
}

// inVirtualTime drives a fleet against an embedded broker in a bubble.
func inVirtualTime(t *testing.T, drive func(*fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var vn kfake.VirtualNetwork
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(vn.Listen), kfake.SeedTopics(numbers, five...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		drive(&fleet{
			t: t, group: "sink.s", topics: five,
			opts: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)},
			dial: vn.DialContext,
		})
	})
}
