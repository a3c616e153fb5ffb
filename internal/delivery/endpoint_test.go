//go:build synctests

package delivery

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/sinkstate"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// asked is one request as the vendor sees it.
type asked struct {
	id, endpoint string
	at           time.Duration
}

// routed is a sink whose events say which endpoints they need, as ids like
// "7 find make" do, and keeps what is done, as Stripe's does.
type routed struct {
	*world

	latency time.Duration
	answer  func(endpoint, id string) error // nil for success

	guard sync.Mutex
	asked []asked
}

// Deliver asks the endpoints that were not asked yet, in turn.
func (r *routed) Deliver(ctx context.Context, a *sinks.Attempt) error {
	steps := strings.Fields(a.Event.ID)[1:]
	for len(a.Progress) < len(steps) {
		endpoint := steps[len(a.Progress)]
		if err := a.Pass(ctx, endpoint, 1); err != nil {
			return err
		}
		r.guard.Lock()
		r.asked = append(r.asked, asked{a.Event.ID, endpoint, time.Since(r.began)})
		r.guard.Unlock()
		pass(r.latency)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.answer(endpoint, a.Event.ID); err != nil {
			return err
		}
		a.Progress = append(a.Progress, '.')
	}
	return r.arrive(a)
}

// requests are those to an endpoint in a time.
func (r *routed) requests(endpoint string, from, to time.Duration) (n int) {
	r.guard.Lock()
	defer r.guard.Unlock()
	for _, q := range r.asked {
		if q.endpoint == endpoint && from < q.at && q.at < to {
			n++
		}
	}
	return n
}

// inRoutes runs a test with a routed sink whose endpoint "held" throttles until
// a time, from its first request on, and names what is left of it.
func inRoutes(t *testing.T, cfg Config, wait time.Duration, test func(*routed)) {
	t.Helper()
	r := &routed{latency: 50 * time.Millisecond}
	until := time.Time{}
	r.answer = func(endpoint, _ string) error {
		r.guard.Lock()
		defer r.guard.Unlock()
		if endpoint != "held" {
			return nil
		}
		if until.IsZero() {
			until = time.Now().Add(wait)
		}
		if left := time.Until(until); left > 0 {
			return trouble{kind: atEndpoint, wait: left}.verdict()
		}
		return nil
	}
	inWorld(t, cfg, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		r.world, w.sink = w, r
		test(r)
	})
}

// mixed produces events of some kinds in turn, each kind over some keys.
func (r *routed) mixed(n, keys int, kinds ...string) {
	r.t.Helper()
	batch := make([]*kgo.Record, n)
	for i := range n {
		kind := kinds[i%len(kinds)]
		batch[i] = &kgo.Record{
			Topic: source, Partition: int32(i % 2), Key: []byte(kind + strconv.Itoa(i/len(kinds)%keys)), Value: []byte{0},
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(strconv.Itoa(i) + " " + kind)}},
		}
	}
	if err := r.client.ProduceSync(r.t.Context(), batch...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// of is how many events of a kind were delivered.
func (r *routed) of(kind string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.settled {
		if _, after, _ := strings.Cut(id, " "); after == kind {
			n++
		}
	}
	return n
}

// silent checks that a hold was kept: it began when the first answer was in.
func (r *routed) silent(wait time.Duration) {
	r.t.Helper()
	r.guard.Lock()
	all := slices.Clone(r.asked)
	r.guard.Unlock()
	first := slices.IndexFunc(all, func(q asked) bool { return q.endpoint == "held" })
	if first < 0 {
		r.t.Fatal("the endpoint was not asked")
	}
	from := all[first].at + r.latency
	if n := r.requests("held", from, from+wait); n != 0 {
		r.t.Errorf("%d requests to the endpoint while it is held", n)
	}
}

// unspent checks that the waits cost nothing, and that keys kept their order.
func (r *routed) unspent() {
	r.t.Helper()
	if dead := r.read(topics.DeadLetters("s")); len(dead) != 0 {
		r.t.Errorf("%d dead letters", len(dead))
	}
	for _, a := range r.all() {
		if a.number != 1 {
			r.t.Fatalf("event %q: a wait spent an attempt", a.id)
		}
	}
}

// inOrder checks that the events of each key that ask for the held endpoint alone
// were delivered as they were produced.
func (r *routed) inOrder(keys int) {
	r.t.Helper()
	last := map[int]int{}
	for _, a := range r.all() {
		number, kind, _ := strings.Cut(a.id, " ")
		if kind != "held" {
			continue
		}
		i, _ := strconv.Atoi(number)
		if i < last[i%keys] {
			r.t.Fatalf("event %d went after event %d of its key", i, last[i%keys])
		}
		last[i%keys] = i
	}
}

// TestP5AnEndpointIsHeldAlone: one of two endpoints throttles for a minute. What
// does not ask for it goes on at the full rate, though half of all records do.
func TestP5AnEndpointIsHeldAlone(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]*quota.Limit{"by its slots": nil, "by the limit of the account": {Name: "s", Rate: 40, Burst: 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRoutes(t, Config{Concurrency: 4}, time.Minute, func(r *routed) {
				rate := 80. // 4 slots of 50 ms
				if limit != nil {
					r.limit, rate = quota.Local(*limit), float64(limit.Rate)
				}
				stop := r.worker()
				defer stop()
				pass(2 * time.Second)
				began := time.Since(r.began)
				r.mixed(1600, 1600, "held", "free")
				pass(60 * time.Second)
				const seconds = 8
				if n := r.requests("free", began+time.Second, began+(1+seconds)*time.Second); float64(n) < 0.95*rate*seconds {
					t.Errorf("%d requests in %d s beside a held endpoint, %.0f/s are possible", n, seconds, rate)
				}
				if n := r.of("free"); n != 800 {
					t.Errorf("%d of 800 delivered that need nothing of the held endpoint", n)
				}
				if n := r.of("held"); n != 0 {
					t.Errorf("%d delivered through a held endpoint", n)
				}
				pass(60 * time.Second)
				if n := r.delivered(); n != 1600 {
					t.Errorf("%d of 1600 delivered after the hold", n)
				}
				r.silent(time.Minute)
				r.unspent()
			})
		})
	}
}

// TestP5ALongHoldOfAnEndpointTakesNoSlots: 5,000 records wait for an hour.
func TestP5ALongHoldOfAnEndpointTakesNoSlots(t *testing.T) {
	t.Parallel()
	const keys = 500
	inRoutes(t, Config{Concurrency: 8}, time.Hour, func(r *routed) {
		stop := r.worker()
		defer stop()
		pass(2 * time.Second)
		r.mixed(5000, keys, "held")
		pass(10 * time.Second)
		s := r.running.sched
		s.mu.Lock()
		if s.flying != 0 || len(s.line) != 0 || s.held > maxHeldRecords {
			t.Errorf("%d slots taken, %d requests in line, %d records in memory", s.flying, len(s.line), s.held)
		}
		s.mu.Unlock()
		r.mixed(2000, keys, "free")
		pass(30 * time.Second)
		if n := r.of("free"); n != 2000 {
			t.Errorf("%d of 2000 delivered that need nothing of the held endpoint", n)
		}
		pass(time.Hour + time.Minute)
		if n := r.of("held"); n != 5000 {
			t.Errorf("%d of 5000 delivered a minute after the hour", n)
		}
		r.silent(time.Hour)
		r.unspent()
		r.inOrder(keys)
	})
}

// TestP5P11AnEndpointIsHeldAgainAndAgain: more records wait than memory holds,
// and when their time has come the endpoint throttles anew. They lie in a tier
// by then, and others are read all the same.
func TestP5P11AnEndpointIsHeldAgainAndAgain(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("60,000 records")
	}
	const hold = 5 * time.Minute
	inRoutes(t, Config{Concurrency: 32}, hold, func(r *routed) {
		r.latency = time.Millisecond
		stop := r.worker()
		defer stop()
		pass(2 * time.Second)
		r.mixed(40_000, 20_000, "held", "free")
		pass(2 * time.Minute)
		if n := r.of("free"); n != 20_000 {
			t.Errorf("%d of 20,000 others delivered in two minutes", n)
		}
		var again time.Time // when it ends
		r.answer = func(endpoint, _ string) error {
			r.guard.Lock()
			defer r.guard.Unlock()
			switch left := time.Until(again); {
			case endpoint != "held":
			case again.IsZero():
				again = time.Now().Add(hold)
				return trouble{kind: atEndpoint, wait: hold}.verdict()
			case left > 0:
				return trouble{kind: atEndpoint, wait: left}.verdict()
			}
			return nil
		}
		pass(4 * time.Minute) // held again by now
		second := time.Since(r.began)
		if n := r.of("held"); n != 0 || again.IsZero() {
			t.Fatalf("%d delivered, throttled again: %v", n, !again.IsZero())
		}
		r.mixed(40_000, 10_000, "free too", "free too", "free too", "held")
		pass(time.Minute)
		if n := r.of("free too"); n != 30_000 {
			t.Errorf("%d of 30,000 others delivered while the endpoint is held again", n)
		}
		pass(hold)
		if n := r.of("held"); n != 30_000 {
			t.Errorf("%d of 30,000 delivered after the second hold", n)
		}
		if n := r.requests("held", second, again.Sub(r.began)); n != 0 {
			t.Errorf("%d requests in the second hold", n)
		}
		r.unspent()
	})
}

// TestP5P11ARestartBesideAHeldEndpoint: what the tiers hold is read into memory
// first, as far as there is room. It may not keep the source from being read.
func TestP5P11ARestartBesideAHeldEndpoint(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("50,000 records")
	}
	inRoutes(t, Config{Concurrency: 32}, 10*time.Minute, func(r *routed) {
		r.latency = time.Millisecond
		stop := r.worker()
		pass(2 * time.Second)
		r.mixed(20_000, 20_000, "held")
		pass(time.Minute)
		stop()
		defer r.worker()()
		pass(10 * time.Second)
		r.mixed(40_000, 40_000, "free", "free", "free", "held free")
		pass(time.Minute)

		if n := r.of("free"); n != 30_000 {
			t.Errorf("%d of 30,000 delivered that need nothing of the held endpoint", n)
		}
		r.unspent()
	})
}

// TestP5AHeldEndpointCutsAnAttemptShort: what was made stays made, and the rest
// follows when the hold ends.
func TestP5AHeldEndpointCutsAnAttemptShort(t *testing.T) {
	t.Parallel()
	inRoutes(t, Config{Concurrency: 4}, 10*time.Minute, func(r *routed) {
		stop := r.worker()
		defer stop()
		r.mixed(40, 40, "free held free")
		pass(9 * time.Minute)
		if n := r.requests("free", 0, time.Hour); n != 40 {
			t.Errorf("%d requests before the endpoint, want one of each event", n)
		}
		pass(2 * time.Minute)
		if n := r.delivered(); n != 40 {
			t.Errorf("delivered %d of 40", n)
		}
		if n := r.requests("free", 0, time.Hour); n != 80 {
			t.Errorf("%d requests besides those that were held, want 80: what was made is made again", n)
		}
		r.silent(10 * time.Minute)
		r.unspent()
	})
}

// TestP5AShortHoldOfAnEndpointIsWaitedFor in the slot: nothing is rendered twice.
func TestP5AShortHoldOfAnEndpointIsWaitedFor(t *testing.T) {
	t.Parallel()
	inRoutes(t, Config{Concurrency: 4}, 500*time.Millisecond, func(r *routed) {
		calls := 0
		r.sink = sinks.Func(func(ctx context.Context, a *sinks.Attempt) error {
			r.guard.Lock()
			calls++
			r.guard.Unlock()
			return r.Deliver(ctx, a)
		})
		stop := r.worker()
		defer stop()
		pass(2 * time.Second)
		r.mixed(1, 1, "held")
		pass(100 * time.Millisecond)
		r.mixed(2, 2, "held") // half of the slots
		pass(5 * time.Second)
		if n := r.delivered(); n != 2 || calls != 4 { // the ids of the second lot begin anew
			t.Errorf("%d events, %d calls; want 2 and 4, of which one was throttled", n, calls)
		}
		r.silent(500 * time.Millisecond)
	})
}

// TestP5ShortHoldsOfAnEndpointLeaveHalfOfTheSlots: one that throttles for a
// second, again and again, and is asked by most records.
func TestP5ShortHoldsOfAnEndpointLeaveHalfOfTheSlots(t *testing.T) {
	t.Parallel()
	inRoutes(t, Config{Concurrency: 4}, 0, func(r *routed) {
		r.answer = func(endpoint, _ string) error {
			if endpoint == "held" {
				return trouble{kind: atEndpoint, wait: time.Second}.verdict()
			}
			return nil
		}
		stop := r.worker()
		defer stop()
		pass(2 * time.Second)
		began := time.Since(r.began)
		r.mixed(2000, 2000, "held", "held", "held", "free")
		pass(12 * time.Second)
		const half = 2 / 0.05
		if n := r.requests("free", began+time.Second, began+11*time.Second); float64(n) < 0.95*half*10 {
			t.Errorf("%d requests in 10 s beside an endpoint that throttles, %.0f/s are possible", n, half)
		}
	})
}

// TestP5AThrottledEndpointIsNotTheRecordsOwnFault: that others are delivered who
// do not ask for it says nothing of it.
func TestP5AThrottledEndpointIsNotTheRecordsOwnFault(t *testing.T) {
	t.Parallel()
	const wait, refusals = 5 * time.Second, 20
	inRoutes(t, Config{Concurrency: 1}, 0, func(r *routed) {
		var told []time.Duration
		r.answer = func(endpoint, _ string) error {
			r.guard.Lock()
			defer r.guard.Unlock()
			if endpoint != "held" {
				return nil
			}
			now := time.Since(r.began)
			if n := len(told); n > 0 && now-r.latency < told[n-1]+wait {
				t.Errorf("asked %s after an answer that said %s", now-r.latency-told[n-1], wait)
			}
			if len(told) == refusals {
				return nil
			}
			told = append(told, now)
			return trouble{kind: atEndpoint, wait: wait}.verdict()
		}
		stop := r.worker()
		defer stop()
		pass(2 * time.Second)
		r.mixed(3, 3, "held")
		for range (refusals + 2) * wait / time.Second {
			r.mixed(10, 10, "free")
			pass(time.Second)
		}
		if n := r.of("held"); n != 3 || len(told) != refusals {
			t.Errorf("%d of 3 delivered after %d refusals", n, len(told))
		}
	})
}

// TestP4AHeldEndpointKeepsNoBreakerOpen: its records come first when an outage
// ends, and none of them can be the probe.
func TestP4AHeldEndpointKeepsNoBreakerOpen(t *testing.T) {
	t.Parallel()
	inRoutes(t, Config{Concurrency: 8}, time.Hour, func(r *routed) {
		throttles := r.answer
		var down bool
		r.answer = func(endpoint, id string) error {
			r.guard.Lock()
			out := down
			r.guard.Unlock()
			if out {
				return outage()
			}
			return throttles(endpoint, id)
		}
		set := func(to bool) {
			r.guard.Lock()
			down = to
			r.guard.Unlock()
		}
		stop := r.worker()
		defer stop()
		pass(2 * time.Second)
		r.mixed(1, 1, "held")
		pass(time.Second)
		set(true)
		r.mixed(400, 400, "free")
		pass(2 * time.Minute)
		if b := r.running.Standing().Breaker; b == sinkstate.Closed {
			t.Fatal("the breaker is closed in an outage")
		}
		r.mixed(3000, 3000, "held", "held", "held", "held", "held", "held", "held", "held", "held", "free")
		pass(10 * time.Second)
		set(false)
		pass(3 * time.Minute)
		if b := r.running.Standing().Breaker; b != sinkstate.Closed {
			t.Errorf("the breaker is %s three minutes after the outage", b)
		}
		if n := r.of("free"); n < 300 {
			t.Errorf("%d delivered that need nothing of the held endpoint", n)
		}
		r.silent(time.Hour)
	})
}

// TestP4AHeldEndpointKeepsNoMappingHeld: the same of the dead-letter budget,
// which tries one record in 30 s.
func TestP4AHeldEndpointKeepsNoMappingHeld(t *testing.T) {
	t.Parallel()
	inRoutes(t, Config{Concurrency: 1, DeadLetterBudget: 3}, 10*time.Minute, func(r *routed) {
		throttles := r.answer
		r.answer = func(endpoint, id string) error {
			if endpoint == "bad" {
				return refused()
			}
			return throttles(endpoint, id)
		}
		stop := r.worker()
		defer stop()
		pass(2 * time.Second)
		r.mixed(1, 1, "held")
		pass(time.Second)
		r.mixed(4, 4, "bad")
		pass(time.Second)
		r.wantStanding(sinkstate.Closed, sinkstate.Mapping, 0, mappingProbe-time.Second)
		r.mixed(300, 300, "held")
		r.mixed(20, 20, "free")
		pass(mappingProbe + 10*time.Second)
		if n := r.of("free"); n != 20 {
			t.Errorf("%d of 20 delivered when a probe was due", n)
		}
		r.silent(10 * time.Minute)
	})
}

// TestP5P7AnEndpointIsHeldForOneTenant, whose account at the vendor it is.
func TestP5P7AnEndpointIsHeldForOneTenant(t *testing.T) {
	t.Parallel()
	inRoutes(t, Config{Concurrency: 8, TenantHeader: "tenant"}, 0, func(r *routed) {
		r.answer = func(_, id string) error {
			if id == "0 same" {
				return trouble{kind: atEndpoint, wait: time.Hour}.verdict()
			}
			return nil
		}
		stop := r.worker()
		defer stop()
		r.event("0 same", "a0", "a")
		pass(5 * time.Second)
		for i := 1; i <= 20; i++ {
			r.event(strconv.Itoa(i)+" same", "k"+strconv.Itoa(i), string("ab"[i%2]))
		}
		r.event("21 other", "k21", "a")
		pass(10 * time.Second)
		if n := r.of("same"); n != 10 {
			t.Errorf("%d delivered to the endpoint, want 10 of the other tenant", n)
		}
		if n := r.of("other"); n != 1 {
			t.Error("the tenant's other endpoint is held too")
		}
	})
}

// TestP5AnEndpointWithoutANameIsTheSink.
func TestP5AnEndpointWithoutANameIsTheSink(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 4}, func(a *sinks.Attempt, nth int) error {
		if a.Event.ID == "0" && nth == 1 {
			return trouble{kind: atEndpoint, wait: time.Minute}.verdict()
		}
		return nil
	}, func(w *world) {
		stop := w.worker()
		defer stop()
		w.produce(1)
		pass(5 * time.Second)
		w.produce(20)
		pass(30 * time.Second)
		if n := len(w.all()); n != 1 {
			t.Errorf("%d calls; want silence after the first", n)
		}
		w.wantStanding(sinkstate.Closed, sinkstate.Throttled, 0, 25*time.Second)
		pass(time.Minute)
		if n := w.delivered(); n != 20 {
			t.Errorf("delivered %d of 20", n)
		}
	})
}

// TestP5AnEndpointThatAPersonFreesIsHeldAnewForItsOwnTime, not for what was left
// of the hold before.
func TestP5AnEndpointThatAPersonFreesIsHeldAnewForItsOwnTime(t *testing.T) {
	t.Parallel()
	inRoutes(t, Config{Concurrency: 1}, 0, func(r *routed) {
		waits := []time.Duration{time.Hour, 5 * time.Second}
		r.answer = func(string, string) error {
			r.guard.Lock()
			defer r.guard.Unlock()
			if len(waits) == 0 {
				return nil
			}
			wait := waits[0]
			waits = waits[1:]
			return trouble{kind: atEndpoint, wait: wait}.verdict()
		}
		stop := r.worker()
		defer stop()
		r.mixed(20, 20, "held")
		pass(5 * time.Second)
		r.running.Resume("ana", "INC-1", true)
		pass(20 * time.Second)
		if n := r.of("held"); n != 20 || len(waits) != 0 {
			t.Errorf("%d of 20 delivered, though the second hold was of 5s", n)
		}
	})
}

// TestAHeldEndpointIsTold in the log and to lag, as one and not as the sink.
func TestAHeldEndpointIsTold(t *testing.T) {
	t.Parallel()
	const wait = 5 * time.Minute
	inRoutes(t, Config{Concurrency: 4}, wait, func(r *routed) {
		core, logs := observer.New(zap.WarnLevel)
		r.log = zap.New(core)
		stop := r.worker()
		defer stop()
		r.mixed(50, 50, "held", "free")
		pass(10 * time.Second)
		s := r.running.Standing()
		if left := time.Until(s.FreeAt); s.Endpoint != "held" || left < wait-11*time.Second || left > wait || s.Blocked() || s.Plain() || s.Held != sinkstate.NotHeld {
			t.Errorf("%+v, want one endpoint held for the rest of its time", s)
		}
		lines := logs.FilterMessage("held").All()
		if len(lines) != 1 || lines[0].ContextMap()["scope"] != "endpoint" || lines[0].ContextMap()["endpoint"] != "held" {
			t.Errorf("%v, want one line that names the endpoint", lines)
		}
		pass(wait)
		if s := r.running.Standing(); !s.Plain() {
			t.Errorf("%+v after the hold", s)
		}
	})
}

// TestP1AWorkerStopsBesideAHeldEndpoint at once, and gives back what waits: the
// next one delivers it.
func TestP1AWorkerStopsBesideAHeldEndpoint(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"in its slots": 900 * time.Millisecond, "put off": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRoutes(t, Config{Concurrency: 4}, wait, func(r *routed) {
				stop := r.worker()
				pass(2 * time.Second)
				r.mixed(100, 10, "held")
				pass(300 * time.Millisecond)
				began := time.Now()
				stop()
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("the worker took %s to stop", took)
				}
				r.answer = func(string, string) error { return nil }
				stop = r.worker()
				defer stop()
				pass(time.Minute)
				if n := r.delivered(); n != 100 {
					t.Errorf("delivered %d of 100", n)
				}
				r.inOrder(10)
				r.unspent()
			})
		})
	}
}
