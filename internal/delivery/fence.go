package delivery

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/internal/kafka"
)

// fence keeps a worker from sending once the group may have given its
// partitions to another: one that is cut off from the brokers, or that was
// stopped for a while, would send what its successor sends. The right to send
// ends one session after the last heartbeat that was answered was sent, which
// is before the broker counts the member as gone. Who waits for the answer to
// its join is a member for as long as a rebalance may take.
//
// It is a hook of the group's client. Where the broker decides how long a
// session is (KIP-848), nothing is fenced.
type fence struct {
	// until is when the right ends, by the monotonic and by the wall clock:
	// the first of the two stands still while a machine sleeps.
	until atomic.Pointer[time.Time]
	// shut is until when nothing is sent whatever is answered, as answers say
	// here only that they came, not what they say; nil for no such time.
	shut atomic.Pointer[time.Time]
}

// fencePoll is how soon a worker that may not send looks again.
const fencePoll = 50 * time.Millisecond

// wait is how long nothing may be sent yet; 0 for not at all.
func (f *fence) wait(now time.Time) time.Duration {
	if shut := f.shut.Load(); shut != nil && now.Before(*shut) {
		return fencePoll
	}
	if f.lapsed(now) {
		return fencePoll
	}
	return 0
}

func (f *fence) lapsed(now time.Time) bool {
	until := f.until.Load()
	return until != nil && (!now.Before(*until) || !now.Round(0).Before(until.Round(0)))
}

func (f *fence) extend(until time.Time) { f.until.Store(&until) }

// end takes the right to send from a worker that the group has given up: for a
// session, or until it is assigned something again.
func (f *fence) end() {
	until := time.Now().Add(kafka.Session)
	f.shut.Store(&until)
}

// assigned is told when the worker is a member again, with new shards.
func (f *fence) assigned() { f.shut.Store(nil) }

// OnBrokerWrite is for kgo. Asking to join gives no right back that has ended:
// others may have what this worker holds.
func (f *fence) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if now := time.Now(); err == nil && key == kmsg.JoinGroup.Int16() && !f.lapsed(now) {
		f.extend(now.Add(kafka.RebalanceTimeout))
	}
}

// OnBrokerE2E is for kgo. Nor does a new assignment, which is not known yet: of
// who has been away the next heartbeat says that it is a member.
func (f *fence) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	now := time.Now()
	if e.Err() == nil && (key == kmsg.Heartbeat.Int16() || key == kmsg.SyncGroup.Int16() && !f.lapsed(now)) {
		f.extend(now.Add(kafka.Session - e.DurationE2E()))
	}
}
