//go:build synctests

package delivery

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// inTier writes a copy of the n-th record of source partition 0 into a tier,
// as a worker parks it.
func (w *world) inTier(tier time.Duration, id, key string, n int64, due time.Time) {
	w.t.Helper()
	at := holdfast.Coordinates{Topic: source, Offset: n}
	env := &record.Envelope{
		Event:   holdfast.Event{ID: id, Key: []byte(key), Origin: at, Time: time.Now()},
		Payload: []byte{0}, At: at, Sink: "s", Due: due,
	}
	w.send(env.To(topics.Retry("s", tier), 0, 0))
}

// TestP3AFollowerInATierOvertakesOthersNotItsKey: a hundred records of other
// keys lie before it in its tier, and are due later.
func TestP3AFollowerInATierOvertakesOthersNotItsKey(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(a *sinks.Attempt, nth int) error {
		if a.Event.ID == "first" && nth == 1 {
			return conflict()
		}
		return nil
	}, func(w *world) {
		w.event("first", "k", "")
		w.event("follower", "k", "")
		for i := range 100 {
			id := "other-" + strconv.Itoa(i)
			w.event(id, id, "")
			w.inTier(time.Minute, id, id, int64(i+2), time.Now().Add(10*time.Minute))
		}
		w.inTier(time.Minute, "follower", "k", 1, time.Time{})
		stop := w.worker()
		defer stop()
		time.Sleep(2 * time.Minute) //nolint:forbidigo // virtual time
		first, follower := w.times("first"), w.times("follower")
		if len(first) != 2 || len(follower) != 1 {
			t.Fatalf("the first had %d attempts, its follower %d", len(first), len(follower))
		}
		if late := follower[0] - first[1]; late < 0 || late > time.Second {
			t.Errorf("the follower went %s after the record it waited for", late)
		}
		for _, a := range w.all() {
			if a.id != "first" && a.number != 1 {
				t.Errorf("waiting spent an attempt of %s", a.id)
			}
		}
	})
}

// TestP3OrderHoldsOverARebalance: the second worker takes over a key of which a
// record waits in a tier.
func TestP3OrderHoldsOverARebalance(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Instance: "a"}, func(a *sinks.Attempt, nth int) error {
		if a.Number == 1 && nth == 1 && (a.Event.ID == "0" || a.Event.ID == "1") {
			return conflict()
		}
		return nil
	}, func(w *world) {
		first := w.worker()
		defer first()
		w.produceKeys(40, 2)
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual time
		w.cfg.Instance = "b"
		second := w.worker()
		defer second()
		time.Sleep(2 * time.Minute) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != 40 {
			t.Fatalf("delivered %d of 40", got)
		}
		for i := range 40 {
			at := w.times(strconv.Itoa(i))
			if i < 2 && (len(at) != 2 || at[1]-at[0] < time.Minute) || i >= 2 && len(at) != 1 {
				t.Errorf("event %d was sent at %v", i, at)
			}
			if i >= 2 {
				if before := w.times(strconv.Itoa(i - 2)); at[0] < before[len(before)-1] {
					t.Errorf("event %d was sent before event %d", i, i-2)
				}
			}
		}
	})
}

// TestP3ARedrivenRecordGoesBeforeLaterOrigins, also where it has to wait itself.
func TestP3ARedrivenRecordGoesBeforeLaterOrigins(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprintf("fails again %v", again), func(t *testing.T) {
			t.Parallel()
			inWorld(t, Config{}, func(a *sinks.Attempt, nth int) error {
				switch {
				case a.Event.ID == "0" && nth == 1:
					return trouble{kind: refusal}.verdict()
				case a.Event.ID == "0" && nth == 2 && again, a.Event.ID == "1" && nth == 1:
					return conflict()
				}
				return nil
			}, func(w *world) {
				stop := w.worker()
				defer stop()
				for i := range 3 {
					w.event(strconv.Itoa(i), "k", "")
				}
				time.Sleep(10 * time.Second) //nolint:forbidigo // virtual time
				letters := w.read(topics.DeadLetters("s"))
				if len(letters) != 1 {
					t.Fatalf("%d dead letters", len(letters))
				}
				env := record.Read(letters[0], record.FromHoldfast)
				w.send(env.ToRedrive(topics.Redrive("s"), record.Redrive{Job: "job", Count: 1}))
				time.Sleep(5 * time.Minute) //nolint:forbidigo // virtual time
				redriven, later := w.times("0"), w.times("1")
				if want := 2 + len(redriven[2:]); !w.isDelivered("0") || len(redriven) != want || len(later) != 2 {
					t.Fatalf("redriven: %v, later: %v", redriven, later)
				}
				if redriven[1] > 20*time.Second {
					t.Errorf("redriven at 10s and more, sent at %s", redriven[1])
				}
				if last := redriven[len(redriven)-1]; later[1] < last {
					t.Errorf("a later origin went at %s, before the redriven record at %s", later[1], last)
				}
				if follower := w.times("2"); len(follower) != 1 || follower[0] < later[1] || follower[0] > later[1]+time.Second {
					t.Errorf("the last of the key was sent at %v, the one before at %s", follower, later[1])
				}
			})
		})
	}
}

// TestP2ARestartSendsNothingThatIsFinishedBeyondTheHead: one record at the head
// waits for an hour; what the metadata of the commit says is not sent again.
func TestP2ARestartSendsNothingThatIsFinishedBeyondTheHead(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(a *sinks.Attempt, _ int) error {
		if n, _ := strconv.Atoi(a.Event.ID); n%7 == 0 && a.Event.ID != "x" {
			return trouble{kind: alone, wait: time.Hour}.verdict()
		}
		return nil
	}, func(w *world) {
		stop := w.worker()
		w.produceKeys(700, 700)
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual time
		stop()
		if got := w.delivered(); got != 600 {
			t.Fatalf("delivered %d, want 600", got)
		}
		before := len(w.all())
		stop = w.worker()
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual time
		stop()
		for _, a := range w.all()[before:] {
			if n, _ := strconv.Atoi(a.id); n%7 != 0 {
				t.Errorf("event %s was finished and sent again", a.id)
			}
		}
		if got := len(w.all()) - before; got != 100 {
			t.Errorf("%d attempts after the restart, want those of the 100 records that wait", got)
		}
		for num := range int32(2) {
			if head := w.committedAt(num); head > 7 {
				t.Errorf("partition %d is committed at %d, beyond what waits", num, head)
			}
		}
	})
}
