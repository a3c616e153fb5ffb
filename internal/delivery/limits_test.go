//go:build synctests

package delivery

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// committedAt is the offset that is committed of a source partition.
func (w *world) committedAt(num int32) int64 {
	w.t.Helper()
	all, err := kadm.NewClient(w.client).FetchOffsets(w.t.Context(), topics.Group("s"))
	if err != nil {
		w.t.Fatal(err)
	}
	at, _ := all.Lookup(source, num)
	return at.At
}

// TestP5AnHourOfRetryAfterIsAnHourOfSilence (fault matrix 34).
func TestP5AnHourOfRetryAfterIsAnHourOfSilence(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 8}, nil, func(w *world) {
		w.deliver = func(a *sinks.Attempt, nth int) error {
			if a.Event.ID == "0" && nth == 1 {
				return trouble{kind: account, wait: time.Hour}.verdict()
			}
			return nil
		}
		stop := w.worker()
		defer stop()
		w.produce(1)
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		w.produce(300)
		time.Sleep(time.Hour + time.Minute) //nolint:forbidigo // virtual time
		held := w.all()[0].at
		sent := 0
		for _, a := range w.all() {
			if a.at > held && a.at < held+time.Hour {
				sent++
			}
			if a.number != 1 {
				t.Errorf("event %s: the throttle spent an attempt", a.id)
			}
		}
		if sent != 0 {
			t.Errorf("%d sends during the hour", sent)
		}
		if got := w.delivered(); got != 300 {
			t.Errorf("delivered %d of 300 a minute after the hour", got)
		}
		if dead := w.read(topics.DeadLetters("s")); len(dead) != 0 {
			t.Errorf("%d dead letters", len(dead))
		}
	})
}

// TestP5RefusalsByChanceDoNotStopASink: a vendor that refuses one request in
// 25 for no reason of the rate, and names no time, is waited for a little each
// time, once the limiter has seen that the rate is not the reason.
func TestP5RefusalsByChanceDoNotStopASink(t *testing.T) {
	t.Parallel()
	const events, keys, latency, slots = 10_000, 500, 20 * time.Millisecond, 16
	inWorld(t, Config{Concurrency: slots}, nil, func(w *world) {
		chance := rand.New(rand.NewPCG(1, 2))
		var guard sync.Mutex
		w.deliver = func(*sinks.Attempt, int) error {
			pass(latency)
			guard.Lock()
			defer guard.Unlock()
			if chance.IntN(25) == 0 {
				return trouble{kind: account}.verdict()
			}
			return nil
		}
		defer w.worker()()
		w.produceKeys(events, keys)
		began := time.Now()
		for w.delivered() < events {
			pass(100 * time.Millisecond)
		}
		got := events / time.Since(began).Seconds()
		possible := slots * (1 - 1./25) / latency.Seconds()
		t.Logf("%.0f/s where %.0f/s are possible", got, possible)
		if got < 0.3*possible {
			t.Errorf("%.0f/s where %.0f/s are possible", got, possible)
		}
	})
}

// TestP7TheP99OfOthersStays: with a tenant held, or hanging, the others' p99 is
// within 10 % of what it is without.
func TestP7TheP99OfOthersStays(t *testing.T) {
	t.Parallel()
	alone := p99(t, "")
	for _, illness := range []string{tenanted, hang} {
		with := p99(t, illness)
		t.Logf("p99 of the others: %s alone, %s beside a tenant with %q", alone, with, illness)
		if with > alone+alone/10 {
			t.Errorf("a tenant with %q changes the p99 of others from %s to %s", illness, alone, with)
		}
	}
}

// p99 is that of the time from the production of a record to its delivery, of
// nine tenants beside a tenth with an illness.
func p99(t *testing.T, illness string) (worst time.Duration) {
	t.Helper()
	inWorld(t, Config{Concurrency: 8, Timeout: 10 * time.Second, TenantHeader: "tenant"}, nil, func(w *world) {
		var took []time.Duration
		born := map[string]time.Time{}
		w.deliver = func(a *sinks.Attempt, _ int) error {
			if a.Event.Header("tenant") == "sick" {
				if illness == hang {
					pass(10 * time.Second)
					return context.DeadlineExceeded
				}
				return trouble{kind: illness, wait: time.Hour}.verdict()
			}
			pass(20 * time.Millisecond)
			w.mu.Lock()
			took = append(took, time.Since(born[a.Event.ID]))
			w.mu.Unlock()
			return nil
		}
		stop := w.worker()
		defer stop()
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		for i := range 1000 {
			id := strconv.Itoa(i)
			if i%5 == 0 && illness != "" {
				w.event("sick-"+id, "sick-"+id, "sick")
			}
			w.mu.Lock()
			born[id] = time.Now()
			w.mu.Unlock()
			w.event(id, id, "t"+strconv.Itoa(i%9))
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // virtual time
		}
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(took) != 1000 {
			t.Fatalf("delivered %d of 1000 beside a tenant with %q", len(took), illness)
		}
		slices.Sort(took)
		worst = took[989]
	})
	return worst
}

// TestP11AHeldTenantIsSpilledAndTheOthersFlow: for half an hour one tenant may not
// send; it has more records than memory holds, among 50,000 of others. A day is no
// different, and takes minutes even in virtual time.
func TestP11AHeldTenantIsSpilledAndTheOthersFlow(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("60,000 records")
	}
	const flowing, heldBack, keys = 50_000, 10_000, 100
	inWorld(t, Config{Concurrency: 32, TenantHeader: "tenant"}, nil, func(w *world) {
		var until time.Time
		w.deliver = func(a *sinks.Attempt, _ int) error {
			if a.Event.Header("tenant") != "held" {
				return nil
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if until.IsZero() {
				until = time.Now().Add(30 * time.Minute)
			}
			if left := time.Until(until); left > 0 {
				return trouble{kind: tenanted, wait: left}.verdict()
			}
			return nil
		}
		stop := w.worker()
		defer stop()
		var batch []*kgo.Record
		for i := range flowing + heldBack {
			tenant, key := "t"+strconv.Itoa(i%9), strconv.Itoa(i)
			if i%6 == 0 {
				tenant, key = "held", "held-"+strconv.Itoa(i/6%keys)
			}
			batch = append(batch, &kgo.Record{Topic: source, Partition: int32(i / 6 % 2), Key: []byte(key), Value: []byte{0}, Headers: []kgo.RecordHeader{
				{Key: "ce_id", Value: []byte(strconv.Itoa(i))}, {Key: "tenant", Value: []byte(tenant)},
			}})
		}
		if err := w.client.ProduceSync(w.t.Context(), batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != flowing {
			t.Errorf("two minutes later %d of the %d others are delivered", got, flowing)
		}
		all, err := kadm.NewClient(w.client).FetchOffsets(w.t.Context(), topics.Group("s"))
		if err != nil {
			t.Fatal(err)
		}
		all.Each(func(o kadm.OffsetResponse) {
			if len(o.Metadata) > offsets.MaxMetadata {
				t.Errorf("%s-%d: %d bytes of metadata", o.Topic, o.Partition, len(o.Metadata))
			}
		})
		time.Sleep(40 * time.Minute) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != flowing+heldBack {
			t.Errorf("after the hold %d of %d are delivered", got, flowing+heldBack)
		}
		last := map[int]int{}
		w.mu.Lock()
		order := slices.Clone(w.attempts)
		w.mu.Unlock()
		for _, a := range order {
			if a.number != 1 {
				t.Fatalf("event %s: waiting spent an attempt", a.id)
			}
			if i, _ := strconv.Atoi(a.id); i%6 == 0 {
				key := i / 6 % keys
				if i < last[key] {
					t.Fatalf("event %d of a held key went after event %d", i, last[key])
				}
				last[key] = i
			}
		}
		if dead := w.read(topics.DeadLetters("s")); len(dead) != 0 {
			t.Errorf("%d dead letters", len(dead))
		}
	})
}

// deaf is a vendor that takes a request and never answers.
type deaf struct{ *world }

func (d deaf) Deliver(ctx context.Context, a *sinks.Attempt) error {
	d.mu.Lock()
	d.attempts = append(d.attempts, attempt{id: a.Event.ID})
	d.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// TestP1AWorkerStopsWithin25s also when the broker swallows all it gets and the
// vendor hangs (fault matrix 20, 66).
func TestP1AWorkerStopsWithin25s(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a silent broker", "a hung vendor", "both"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, Config{Timeout: 10 * time.Minute}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
				dial, ok := w.client.OptValue(kgo.Dialer).(func(context.Context, string, string) (net.Conn, error))
				if !ok {
					t.Fatal("the client has no dialer")
				}
				line := &wire{dial: dial}
				w.opts = append(slices.Clone(w.opts), kgo.Dialer(line.dialContext))
				if name != "a silent broker" {
					w.sink = deaf{w}
				}
				stop := w.worker()
				w.produce(20)
				time.Sleep(10 * time.Second) //nolint:forbidigo // virtual time
				if name != "a hung vendor" {
					w.produce(20)
					time.Sleep(20 * time.Millisecond) //nolint:forbidigo // virtual time
					line.hush()
				}
				if len(w.all()) == 0 {
					t.Fatal("nothing was sent before the stop")
				}
				began := time.Now()
				stop()
				took := time.Since(began)
				t.Logf("%s: stopped after %s", name, took)
				if took > 25*time.Second {
					t.Errorf("with %s the worker took %s to stop", name, took)
				}
				line.kill() // lets go of what still waits for the silent broker
				pass(time.Minute)
			})
		})
	}
}
