//go:build synctests

package delivery

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerFaults are what a broker may answer, by name. The suite asserts that
// each of them happened.
func brokerFaults() map[string]kfake.Fault {
	fault := func(key kmsg.Key, err *kerr.Error, count int) kfake.Fault {
		return kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: count}
	}
	return map[string]kfake.Fault{
		"produce: not the leader":               fault(kmsg.Produce, kerr.NotLeaderForPartition, 5),
		"produce: too few replicas":             fault(kmsg.Produce, kerr.NotEnoughReplicas, 10),
		"produce: written, too few replicas":    fault(kmsg.Produce, kerr.NotEnoughReplicasAfterAppend, 5),
		"produce: written, timed out":           fault(kmsg.Produce, kerr.RequestTimedOut, 3),
		"fetch: not the leader":                 fault(kmsg.Fetch, kerr.NotLeaderForPartition, 5),
		"fetch: offsets not available":          fault(kmsg.Fetch, kerr.OffsetNotAvailable, 5),
		"fetch: unknown server error":           fault(kmsg.Fetch, kerr.UnknownServerError, 5),
		"list offsets: leader not available":    fault(kmsg.ListOffsets, kerr.LeaderNotAvailable, 5),
		"commit: not the coordinator":           fault(kmsg.OffsetCommit, kerr.NotCoordinator, 5),
		"commit: rebalance in progress":         fault(kmsg.OffsetCommit, kerr.RebalanceInProgress, 5),
		"commit: written or not, timed out":     fault(kmsg.OffsetCommit, kerr.RequestTimedOut, 3),
		"offset fetch: coordinator is loading":  fault(kmsg.OffsetFetch, kerr.CoordinatorLoadInProgress, 3),
		"heartbeat: coordinator not available":  fault(kmsg.Heartbeat, kerr.CoordinatorNotAvailable, 2),
		"find coordinator: not available":       fault(kmsg.FindCoordinator, kerr.CoordinatorNotAvailable, 3),
		"metadata: leader not available, twice": fault(kmsg.Metadata, kerr.LeaderNotAvailable, 2),
	}
}

// hits counts over a whole suite how often each fault happened.
type hits struct {
	mu    sync.Mutex
	count map[string]int
}

func (h *hits) add(name string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count[name] += n
}

// missing lists the faults that never happened.
func (h *hits) missing() (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range brokerFaults() {
		if h.count[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// answerEpochs makes the broker answer for a leader epoch as Kafka does: the
// embedded one knows none after an election that no produce followed.
func answerEpochs(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req, ok := kreq.(*kmsg.OffsetForLeaderEpochRequest)
		if !ok {
			return nil, nil, false
		}
		resp, _ := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, topic := range req.Topics {
			st := kmsg.NewOffsetForLeaderEpochResponseTopic()
			st.Topic = topic.Topic
			for _, p := range topic.Partitions {
				info := c.PartitionInfo(topic.Topic, p.Partition)
				if p.CurrentLeaderEpoch >= 0 && info.Epoch != p.CurrentLeaderEpoch {
					return nil, nil, false
				}
				sp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				sp.Partition, sp.LeaderEpoch, sp.EndOffset = p.Partition, p.LeaderEpoch, info.HighWatermark
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
}

// wire is the network of one process. It can be cut, as SIGKILL cuts it, or
// go silent, as a broker does that swallows what it gets.
type wire struct {
	dial func(ctx context.Context, network, host string) (net.Conn, error)
	more time.Duration // that a request takes, beside wireTime

	mu     sync.Mutex
	cut    bool
	silent bool
	conns  []net.Conn
}

var errCut = errors.New("the process is dead")

func (w *wire) dialContext(ctx context.Context, network, host string) (net.Conn, error) {
	conn, err := w.dial(ctx, network, host)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		_ = conn.Close()
		return nil, errCut
	}
	w.conns = append(w.conns, conn)
	return mute{conn, w}, nil
}

func (w *wire) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for _, c := range w.conns {
		_ = c.Close()
	}
}

func (w *wire) hush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = true
}

// wireTime is how long a request takes to its broker. Without it a broker that
// has lost the leadership of some partitions answers each request at once, the
// client asks at once again, and no time passes in which it could hear of the
// new leader.
const wireTime = 50 * time.Microsecond

// mute is a connection whose far end may swallow what is written to it.
type mute struct {
	net.Conn
	wire *wire
}

func (m mute) Write(b []byte) (int, error) {
	pass(wireTime + m.wire.more)
	m.wire.mu.Lock()
	silent := m.wire.silent
	m.wire.mu.Unlock()
	if silent {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

// pass lets virtual time go by.
func pass(d time.Duration) { <-time.After(d) }
