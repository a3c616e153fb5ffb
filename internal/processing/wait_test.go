//go:build synctests

package processing

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/processors"
)

// virtually runs a test in virtual time, on a broker within it.
func virtually(t *testing.T, partitions int32, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var vn kfake.VirtualNetwork
		test(newWorld(t, partitions, []kfake.Opt{kfake.Ports(9092), kfake.ListenFn(vn.Listen)}, kgo.Dialer(vn.DialContext)))
	})
}

// TestUnknownSchema: an id that the registry does not know holds its partition
// until the verdict, and nobody else's; the next record of the id is dead at once.
func TestUnknownSchema(t *testing.T) {
	t.Parallel()
	virtually(t, 2, func(w *world) {
		began := time.Now()
		serde := plain{open: func(context.Context, uint32) error {
			if time.Since(began) < 30*time.Second {
				return holdfast.Transient(holdfast.ClassSchema, errRefused)
			}
			return holdfast.Permanent(holdfast.ClassSchema, "unknown_schema", errRefused)
		}}
		w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), serde))
		w.put(in, 0, good("before"), wire(7, "x"), good("after"), wire(7, "y"), good("last"))
		for range 10 {
			w.put(in, 1, good("other"))
			w.put(redrive, 0, good("again"))
			pass(time.Second)
		}
		if made := bodies(w.all(out)); len(made) != 21 || made[20] != "OTHER" || made[10] != "BEFORE" {
			t.Errorf("while one partition waited, the others made %q", made)
		}
		if waited := time.Since(began); waited > 12*time.Second {
			t.Fatalf("%s have passed", waited)
		}
		w.read(out, 23, time.Minute)
		letters := w.read(dead, 2, time.Second)
		if took := time.Since(began); took < 30*time.Second || took > 35*time.Second {
			t.Errorf("dead letter after %s", took)
		}
		for _, l := range letters {
			if header(l, record.HeaderCode) != "unknown_schema" || header(l, record.HeaderClass) != "schema" {
				t.Errorf("dead letter %v", l.Headers)
			}
		}
	})
}

// TestRegistryOutage (P4): while the registry is down a record that needs it
// waits as long as it takes, and known schemas go on.
func TestRegistryOutage(t *testing.T) {
	t.Parallel()
	virtually(t, 2, func(w *world) {
		began := time.Now()
		var asked atomic.Int64
		serde := plain{open: func(context.Context, uint32) error {
			asked.Add(1)
			if time.Since(began) < time.Hour {
				return &holdfast.UnavailableError{Failure: holdfast.Failure{Class: holdfast.ClassSchema, Code: "registry_down", Err: errRefused}}
			}
			return nil
		}}
		w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), serde))
		w.put(in, 0, wire(7, "needs it"), good("behind it"))
		pass(30 * time.Minute)
		w.put(in, 1, good("known"))
		w.read(out, 1, time.Second)
		pass(31 * time.Minute)
		w.read(out, 3, time.Second)
		if letters := w.all(dead); len(letters) > 0 {
			t.Errorf("dead letters %v", letters)
		}
		if n := asked.Load(); n > 3700 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestTransientWaits: a processor's transient error holds its partition with
// growing waits, in order; others go on.
func TestTransientWaits(t *testing.T) {
	t.Parallel()
	virtually(t, 2, func(w *world) {
		var tries []time.Duration
		began := time.Now()
		flaky := processors.Func(func(ctx context.Context, ev holdfast.Event) ([]processors.Output, error) {
			if string(ev.Value.(text)) == "flaky" && len(tries) < 8 {
				tries = append(tries, time.Since(began).Round(time.Second))
				return nil, holdfast.Transient(holdfast.ClassUnknown, errRefused)
			}
			return upper(ctx, ev)
		})
		w.start(w.runtime(Config{Instance: "a"}, flaky, plain{}))
		w.put(in, 0, good("a"), good("flaky"), good("b"))
		w.put(in, 1, good("c"))
		if made := bodies(w.read(out, 2, time.Second)); !slicesEqual(made, "A", "C") {
			t.Errorf("at first %q", made)
		}
		w.read(out, 4, 5*time.Minute)
		for i, seconds := range []int{0, 1, 3, 7, 15, 31, 61, 91} {
			if d := tries[i] - tries[0] - time.Duration(seconds)*time.Second; d < 0 || d > time.Second {
				t.Errorf("tries at %v", tries)
				break
			}
		}
		if letters := w.all(dead); len(letters) > 0 {
			t.Errorf("dead letters %v", letters)
		}
	})
}

// TestDeadline: a call that obeys its context, and one that never returns,
// cost their record after five seconds; other partitions do not wait for it.
func TestDeadline(t *testing.T) {
	t.Parallel()
	virtually(t, 3, func(w *world) {
		never := make(chan struct{})
		defer close(never)
		loops := processors.Func(func(ctx context.Context, ev holdfast.Event) ([]processors.Output, error) {
			if string(ev.Value.(text)) == "loop" {
				<-never
			}
			return upper(ctx, ev)
		})
		r := w.runtime(Config{Instance: "a"}, loops, plain{})
		stop := w.start(r)
		<-r.Ready()
		began := time.Now()
		w.put(in, 0, good("hang"), good("a"))
		w.put(in, 1, good("loop"), good("b"))
		w.put(in, 2, good("c"))
		w.read(out, 1, time.Second)
		w.read(out, 3, 10*time.Second)
		letters := w.read(dead, 2, time.Second)
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("took %s", took)
		}
		for _, l := range letters {
			if header(l, record.HeaderCode) != "deadline" {
				t.Errorf("dead letter %v", l.Headers)
			}
		}
		if n := r.stuck.count.Load(); n != 1 {
			t.Errorf("%d calls left behind, want 1", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestTooManyStuck: a processor that keeps looping ends the process, which
// starts anew, before its goroutines use up the machine.
func TestTooManyStuck(t *testing.T) {
	t.Parallel()
	virtually(t, 1, func(w *world) {
		never := make(chan struct{})
		defer close(never)
		loops := processors.Func(func(context.Context, holdfast.Event) ([]processors.Output, error) {
			<-never
			return nil, nil
		})
		for range maxStuck + 5 {
			w.put(in, 0, good("loop"))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		if err := w.runtime(Config{Instance: "a"}, loops, plain{}).Run(ctx); !errors.Is(err, ErrStuck) {
			t.Errorf("got %v", err)
		}
		if letters := w.all(dead); len(letters) != maxStuck {
			t.Errorf("%d dead letters, want %d: what was done is committed", len(letters), maxStuck)
		}
	})
}

// TestBrokerOutage: a broker that answers nothing for ten minutes ends neither
// the process nor exactly-once.
func TestBrokerOutage(t *testing.T) {
	t.Parallel()
	virtually(t, 2, func(w *world) {
		inputs, want := numbered(100)
		w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
		w.put(in, 0, inputs[:50]...)
		w.read(out, 50, time.Minute)
		h := w.cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.InitProducerID, kmsg.FindCoordinator, kmsg.JoinGroup},
			Err:  kerr.CoordinatorNotAvailable, TopLevel: true, TxnID: "holdfast.p.a", Count: -1,
		}, kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.CoordinatorNotAvailable, TopLevel: true, Count: -1})
		w.put(in, 1, inputs[50:]...)
		pass(10 * time.Minute)
		if h.Hits() == 0 {
			t.Error("the fault did not happen")
		}
		h.Remove()
		w.read(out, 100, 2*time.Minute)
		once(t, w.all(out), want)
	})
}

// TestLostToRetention: records that are gone before they were read stop their
// partition, loudly; nothing is skipped, and others go on.
func TestLostToRetention(t *testing.T) {
	t.Parallel()
	virtually(t, 2, func(w *world) {
		stop := w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
		w.put(in, 0, good("a"))
		w.read(out, 1, time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		w.put(in, 0, good("lost"), good("kept"))
		deleteBefore(w, 2)
		w.start(w.runtime(Config{Instance: "a"}, processors.Func(upper), plain{}))
		w.put(in, 1, good("b"))
		fetches := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
		pass(10 * time.Minute)
		once(t, w.all(out), []string{"A", "B"})
		if n := fetches.Hits(); n > 10*60*3 {
			t.Errorf("%d fetches in ten minutes", n)
		}
	})
}
