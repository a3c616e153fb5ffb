//go:build synctests

package delivery

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// TestP2CommitsGoOnWhileTheGroupJoins: what is settled while the others of the
// group have not heard of a new member yet is not sent again after a kill.
func TestP2CommitsGoOnWhileTheGroupJoins(t *testing.T) {
	t.Parallel()
	slow := func(*sinks.Attempt, int) error {
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // virtual time
		return nil
	}
	inWorld(t, Config{Concurrency: 2}, slow, func(w *world) {
		w.produce(4000)
		worker, stop := w.start()
		defer stop()
		<-worker.Ready()
		w.guest(6 * time.Second)    // who hears of a rebalance late
		time.Sleep(8 * time.Second) //nolint:forbidigo // virtual time
		w.guest(time.Second)        // the group waits for the first guest now
		for range 25 {
			before := w.committed()
			time.Sleep(250 * time.Millisecond) //nolint:forbidigo // virtual time
			if w.committed() == before {
				w.t.Errorf("nothing committed for 250 ms at %s, beyond %d", time.Since(w.began), before)
			}
		}
	})
}

// guest is a member of the sink's group that takes partitions, and sends nothing.
func (w *world) guest(heartbeat time.Duration) {
	w.t.Helper()
	opts := append(append([]kgo.Opt{}, w.opts...), membership(w.cfg)...)
	client, err := kgo.NewClient(append(opts, kgo.ConsumeTopics(newLayout(w.cfg).names...), kgo.HeartbeatInterval(heartbeat))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
}

// committed is the sum of the offsets that are committed of the source.
func (w *world) committed() (sum int64) {
	w.t.Helper()
	all, err := kadm.NewClient(w.client).FetchOffsets(w.t.Context(), topics.Group(w.cfg.Sink))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range all[source] {
		sum += max(o.At, 0)
	}
	return sum
}
