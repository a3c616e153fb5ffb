//go:build synctests

package delivery

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

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

// TestI12AMemberThatIsSomebodyNewBeginsAnew: a worker that was given up just
// before it joins again is told so in the answer, and the client joins as
// somebody new. What the worker has is lost: others may have gone on with it.
func TestI12AMemberThatIsSomebodyNewBeginsAnew(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 2}, func(*sinks.Attempt, int) error { pass(20 * time.Millisecond); return nil }, func(w *world) {
		core, logs := observer.New(zap.WarnLevel)
		w.log = zap.New(core)
		w.produce(1000)
		worker, stop := w.start()
		defer stop()
		<-worker.Ready()
		pass(2 * time.Second)
		was, _ := worker.client.GroupMetadata()
		away := make(chan struct{}, 1)
		w.cluster.ControlKey(int16(kmsg.JoinGroup), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			req := kreq.(*kmsg.JoinGroupRequest)
			if req.MemberID != was {
				w.cluster.KeepControl()
				return nil, nil, false
			}
			resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
			resp.ErrorCode = kerr.UnknownMemberID.Code
			away <- struct{}{}
			return resp, nil, true
		})
		worker.client.ForceRebalance()
		<-away
		pass(time.Second) // what was in flight
		at, before := time.Since(w.began), w.committed()
		for logs.FilterMessage("partitions lost").Len() == 0 && time.Since(w.began) < at+20*time.Second {
			pass(100 * time.Millisecond)
			if now := w.committed(); now < before {
				w.t.Errorf("committed %d after %d", now, before)
			}
		}
		for _, a := range w.all() {
			if a.at > at && a.at < time.Since(w.began)-time.Millisecond {
				w.t.Errorf("%s was sent at %s, between the join that was refused at %s and the loss", a.id, a.at, at)
			}
		}
		pass(20 * time.Second)
		if is, _ := worker.client.GroupMetadata(); is == was {
			w.t.Fatal("it is who it was")
		}
		if logs.FilterMessage("partitions lost").Len() != 1 {
			w.t.Errorf("lost %d times: %v", logs.FilterMessage("partitions lost").Len(), logs.All())
		}
		if w.committed() != 1000 || w.delivered() != 1000 {
			w.t.Errorf("%d committed, %d delivered", w.committed(), w.delivered())
		}
	})
}
