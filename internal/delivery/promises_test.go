//go:build synctests

package delivery

import (
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// event writes one record.
func (w *world) event(id, key, tenant string) {
	w.t.Helper()
	w.send(&kgo.Record{Topic: source, Key: []byte(key), Value: []byte{0}, Headers: []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte(id)}, {Key: "tenant", Value: []byte(tenant)},
	}})
}

func TestP3FollowersWaitBehindARetryOverARestart(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(a *sinks.Attempt, nth int) error {
		if a.Event.ID == "0" && nth == 1 {
			return conflict()
		}
		return nil
	}, func(w *world) {
		stop := w.worker()
		for i := range 6 {
			w.event(strconv.Itoa(i), "k", "")
			w.event("other-"+strconv.Itoa(i), "o"+strconv.Itoa(i), "")
		}
		time.Sleep(20 * time.Second) //nolint:forbidigo // virtual time
		for i := range 6 {
			if !w.isDelivered("other-" + strconv.Itoa(i)) {
				t.Errorf("other key %d waits too", i)
			}
		}
		stop()
		stop = w.worker()
		defer stop()
		time.Sleep(2 * time.Minute) //nolint:forbidigo // virtual time
		last := w.times("0")[1]
		if last < time.Minute {
			t.Errorf("the retry came %s after the start, before its time", last)
		}
		for i := 1; i < 6; i++ {
			at := w.times(strconv.Itoa(i))
			if len(at) != 1 {
				t.Fatalf("follower %d had %d attempts", i, len(at))
			}
			if at[0] < last || at[0] > last+time.Second {
				t.Errorf("follower %d went %s after the one before it", i, at[0]-last)
			}
			last = at[0]
		}
		for _, a := range w.all() {
			if a.id != "0" && a.number != 1 {
				t.Errorf("waiting spent an attempt of %s", a.id)
			}
		}
	})
}

func TestP4TwoHoursOfOutageCostProbesOnly(t *testing.T) {
	t.Parallel()
	const down = 2 * time.Hour
	inWorld(t, Config{Concurrency: 8}, nil, func(w *world) {
		w.deliver = func(*sinks.Attempt, int) error {
			if time.Since(w.began) < down {
				return outage()
			}
			return nil
		}
		stop := w.worker()
		defer stop()
		w.produce(400)
		time.Sleep(down + time.Minute) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != 400 {
			t.Errorf("a minute after the outage %d of 400 are delivered", got)
		}
		if dead := w.read(topics.DeadLetters("s")); len(dead) != 0 {
			t.Errorf("%d dead letters", len(dead))
		}
		during := 0
		for _, a := range w.all() {
			if a.at < down {
				during++
			}
			if a.number != 1 {
				t.Errorf("event %s: an attempt was spent", a.id)
			}
		}
		// One probe in 24 to 36 s, and what was in flight before it opened.
		t.Logf("%d attempts in two hours", during)
		if probes := int(down/(24*time.Second)) + 60; during > probes {
			t.Errorf("%d attempts while the vendor was down, want at most %d", during, probes)
		}
	})
}

func TestP7ATenantThatHangsDelaysNobody(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 8, TenantHeader: "tenant"}, nil, func(w *world) {
		w.deliver = func(a *sinks.Attempt, _ int) error {
			if a.Event.Header("tenant") == "slow" {
				time.Sleep(20 * time.Second) //nolint:forbidigo // virtual time
			}
			return nil
		}
		stop := w.worker()
		defer stop()
		for i := range 100 {
			w.event("slow-"+strconv.Itoa(i), "s"+strconv.Itoa(i), "slow")
		}
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		sent := map[string]time.Duration{}
		for i := range 50 {
			id := "quick-" + strconv.Itoa(i)
			sent[id] = time.Since(w.began)
			w.event(id, "q"+strconv.Itoa(i), "quick")
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // virtual time
		}
		time.Sleep(time.Second) //nolint:forbidigo // virtual time
		for id, at := range sent {
			if times := w.times(id); len(times) != 1 || times[0]-at > 250*time.Millisecond {
				t.Errorf("%s was written at %s and sent at %v", id, at, times)
			}
		}
	})
}
