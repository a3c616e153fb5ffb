//go:build synctests

package delivery

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"holdfast.internal"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// counted is what a vendor counts: tokens and when they came.
type counted struct {
	at   []time.Duration
	cost []float64
}

func (c *counted) add(at time.Duration, cost float64) {
	c.at, c.cost = append(c.at, at), append(c.cost, cost)
}

// sum is what came from a time on until another.
func (c *counted) sum(from, to time.Duration) (n float64) {
	for i, at := range c.at {
		if from <= at && at < to {
			n += c.cost[i]
		}
	}
	return n
}

// overdrawn is the most that came above R*w + b in any window of w, with 25 ms
// of jitter forgiven; below 0 if the limit was kept.
func (c *counted) overdrawn(w time.Duration, perSecond, burst float64) float64 {
	in, most, first := 0.0, 0.0, 0
	for i, at := range c.at {
		in += c.cost[i]
		for c.at[first] <= at-w {
			in -= c.cost[first]
			first++
		}
		most = max(most, in)
	}
	return most - (perSecond*(w.Seconds()+0.025) + burst)
}

// keeps fails where the limit was not kept.
func (c *counted) keeps(t *testing.T, what string, perSecond, burst float64) {
	t.Helper()
	for _, w := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second} {
		if over := c.overdrawn(w, perSecond, burst); over > 1e-9 {
			t.Errorf("%s: %.1f tokens more than R*w + b in a window of %s", what, over, w)
		}
	}
}

// stepping is a sink of several requests, as Stripe's is: each goes to an
// endpoint, and what is done is kept.
type stepping struct {
	*world

	steps   []string
	cost    float64
	latency time.Duration
	asks    bool
	connect func()                                    // takes as long as a connection does; nil for none
	answer  func(a *sinks.Attempt, step string) error // nil for success

	guard     sync.Mutex
	all       counted
	endpoint  map[string]*counted
	tenant    map[string]*counted
	open      map[string]bool // events that have begun and not ended
	mostOpen  int
	mostAlive int // calls at once
	alive     int
}

// Deliver takes the steps that were not taken.
func (s *stepping) Deliver(ctx context.Context, a *sinks.Attempt) error {
	s.enter(1)
	defer s.enter(-1)
	for done := len(a.Progress); done < len(s.steps); done++ {
		step := s.steps[done]
		if s.asks {
			if err := a.Gate.Pass(ctx, step, s.cost); err != nil {
				return err
			}
			if s.connect != nil {
				s.connect()
			}
			a.Gate.Sent()
		}
		s.count(a, step, done)
		pass(s.latency)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.answer != nil {
			if err := s.answer(a, step); err != nil {
				return err
			}
		}
		a.Progress = append(a.Progress, '.')
	}
	return s.arrive(a)
}

func (s *stepping) enter(n int) {
	s.guard.Lock()
	defer s.guard.Unlock()
	s.alive += n
	s.mostAlive = max(s.mostAlive, s.alive)
}

func (s *stepping) count(a *sinks.Attempt, step string, done int) {
	s.guard.Lock()
	defer s.guard.Unlock()
	if s.endpoint == nil {
		s.endpoint, s.tenant, s.open = map[string]*counted{}, map[string]*counted{}, map[string]bool{}
	}
	at, tenant := time.Since(s.began), a.Event.Header("tenant")
	for name, m := range map[string]map[string]*counted{step: s.endpoint, tenant: s.tenant} {
		if m[name] == nil {
			m[name] = &counted{}
		}
		m[name].add(at, s.cost)
	}
	s.all.add(at, s.cost)
	s.open[a.Event.ID] = true
	s.mostOpen = max(s.mostOpen, len(s.open))
	if done == len(s.steps)-1 {
		delete(s.open, a.Event.ID)
	}
}

// inSteps runs a test with a stepping sink.
func inSteps(t *testing.T, cfg Config, s *stepping, test func()) {
	t.Helper()
	inWorld(t, cfg, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		s.world, w.sink = w, s
		test()
	})
}

// TestP6EveryRequestOfAnAttemptIsCounted: a sink of six requests keeps the
// limit that its vendor counts, and uses it; who has begun ends before others begin.
func TestP6EveryRequestOfAnAttemptIsCounted(t *testing.T) {
	t.Parallel()
	const perSecond, burst, events = 20, 5, 300
	s := &stepping{steps: []string{"find", "customer", "invoice", "item", "item", "finalize"}, cost: 1, latency: 150 * time.Millisecond, asks: true}
	inSteps(t, Config{Concurrency: 32}, s, func() {
		s.limit = quota.Local(quota.Limit{Name: "s", Rate: perSecond, Burst: burst})
		stop := s.worker()
		defer stop()
		s.produce(events)
		pass(100 * time.Second)
		if got := s.delivered(); got != events {
			t.Errorf("delivered %d of %d", got, events)
		}
		s.all.keeps(t, "the account", perSecond, burst)
		used := s.all.sum(10*time.Second, 70*time.Second) / (60 * perSecond)
		t.Logf("%.3f of the limit used; at most %d events begun at once", used, s.mostOpen)
		if used < 0.95 {
			t.Errorf("%.3f of the limit used", used)
		}
		if s.mostOpen > 6 {
			t.Errorf("%d events begun at once: all start and none ends", s.mostOpen)
		}
		for _, a := range s.world.all() {
			if a.number != 1 {
				t.Fatalf("event %s: waiting spent an attempt", a.id)
			}
		}
	})
}

// TestP6ALimitHoldsOverStalls: between its token and its request a process stands
// still for a while. What was paid before must not come on top of what the
// bucket holds after.
func TestP6ALimitHoldsOverStalls(t *testing.T) {
	t.Parallel()
	const perSecond, burst, stall = 100, 10, 200 * time.Millisecond
	s := &stepping{steps: []string{"only"}, cost: 1, latency: 100 * time.Millisecond, asks: true}
	inSteps(t, Config{Concurrency: 32}, s, func() {
		s.limit = quota.Local(quota.Limit{Name: "s", Rate: perSecond, Burst: burst})
		s.world.open = func() error {
			if in := time.Since(s.began) % time.Second; in < stall {
				pass(stall - in)
			}
			return nil
		}
		stop := s.worker()
		defer stop()
		s.produce(2000)
		pass(20 * time.Second)
		s.all.keeps(t, "the account", perSecond, burst)
		used := s.all.sum(5*time.Second, 15*time.Second) / (10 * perSecond)
		t.Logf("%.3f of the limit used", used)
		if used < 0.85 { // a burst is less than what a stall costs
			t.Errorf("%.3f of the limit used", used)
		}
	})
}

// TestP6ASinkThatAsksForNothingPaysOnePerCall: nobody knows when it sends, so
// never more calls are under way than the burst.
func TestP6ASinkThatAsksForNothingPaysOnePerCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		burst int
		least float64
	}{{burst: 7, least: 0.95}, {burst: 1, least: 0.13}} { // 1 in 0.3 s is a sixth of 20/s, at most
		s := &stepping{steps: []string{"only"}, cost: 1, latency: 300 * time.Millisecond}
		inSteps(t, Config{Concurrency: 8}, s, func() {
			s.limit = quota.Local(quota.Limit{Name: "s", Rate: 20, Burst: tt.burst})
			stop := s.worker()
			defer stop()
			s.produce(400)
			pass(30 * time.Second)
			s.all.keeps(t, "the account", 20, float64(tt.burst))
			if s.mostAlive > tt.burst {
				t.Errorf("%d calls at once", s.mostAlive)
			}
			if used := s.all.sum(5*time.Second, 20*time.Second) / (15 * 20); used < tt.least {
				t.Errorf("burst %d: %.3f of the limit used", tt.burst, used)
			}
		})
	}
}

// TestP6WhatWasTakenIsNotLost: whatever becomes of the record that was paid for,
// its token does not stay part of the burst for ever. Each breaks off at another place.
func TestP6WhatWasTakenIsNotLost(t *testing.T) {
	t.Parallel()
	for name, sink := range map[string]func(ctx context.Context, a *sinks.Attempt) error{
		"it panics before it asks": func(context.Context, *sinks.Attempt) error { panic("bad") },
		"it panics while it connects": func(ctx context.Context, a *sinks.Attempt) error {
			if err := a.Gate.Pass(ctx, "", 1); err != nil {
				return err
			}
			panic("bad")
		},
		"it is refused before it asks": func(context.Context, *sinks.Attempt) error {
			return &holdfast.PermanentError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Err: errVendor}}
		},
		"it finds no connection": func(ctx context.Context, a *sinks.Attempt) error {
			if err := a.Gate.Pass(ctx, "x", 1); err != nil {
				return err
			}
			return &holdfast.TransientError{Failure: holdfast.Failure{Class: holdfast.ClassNetwork, Err: errVendor}, Again: true}
		},
		"it hangs while it connects": func(ctx context.Context, a *sinks.Attempt) error {
			if err := a.Gate.Pass(ctx, "x", 1); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		for _, batched := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				inWorld(t, Config{Concurrency: 4, Timeout: time.Second}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
					w.limit = quota.Local(quota.Limit{Name: "s", Rate: 20, Burst: 2})
					ill := sinks.Func(func(ctx context.Context, a *sinks.Attempt) error {
						if i, _ := strconv.Atoi(a.Event.ID); i%5 == 4 {
							return sink(ctx, a)
						}
						return w.Deliver(ctx, a)
					})
					w.sink = ill
					if batched {
						w.sink = oneByOne{ill}
					}
					stop := w.worker()
					defer stop()
					w.produce(500)
					pass(5 * time.Minute)
					if got := w.delivered(); got != 400 {
						t.Errorf("delivered %d of 400", got)
					}
				})
			})
		}
	}
}

// oneByOne is a batch sink that sends what it gets one by one.
type oneByOne struct{ sinks.Func }

func (oneByOne) Batch() sinks.BatchLimits {
	return sinks.BatchLimits{Events: 4, Linger: 50 * time.Millisecond}
}

func (o oneByOne) DeliverBatch(ctx context.Context, batch []*sinks.Attempt) []error {
	verdicts := make([]error, len(batch))
	for i, a := range batch {
		if i > 0 || len(batch) == 1 {
			verdicts[i] = o.Deliver(ctx, a)
			continue
		}
		verdicts[i] = &holdfast.SplitError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 400, Err: errVendor}}
	}
	return verdicts
}

// TestP6ALimitHoldsWhileConnectionsAreMade: they take long, and are ready at
// once. What was paid for meanwhile does not arrive on top of the burst, and a
// vendor that hangs up now and then costs no throughput.
func TestP6ALimitHoldsWhileConnectionsAreMade(t *testing.T) {
	t.Parallel()
	const perSecond, burst, slots = 20, 5, 24
	tests := map[string]struct {
		takes time.Duration // a handshake
		every float64       // the part of requests that need one
		least float64       // of the limit that is used
	}{
		"a third, fast":    {150 * time.Millisecond, 0.3, 0.95},
		"a third, slow":    {1800 * time.Millisecond, 0.3, 0.4}, // 5 in 0.54 s on average
		"each":             {150 * time.Millisecond, 1, 0.95},
		"all at one time":  {-2 * time.Second, 1, 0.1}, // a burst at each even second
		"some at one time": {-2 * time.Second, 0.3, 0.3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stepping{steps: []string{"one", "two"}, cost: 1, latency: 50 * time.Millisecond, asks: true}
			chance := rand.New(rand.NewPCG(1, 2))
			s.connect = func() {
				s.guard.Lock()
				reused := chance.Float64() >= tt.every
				s.guard.Unlock()
				switch {
				case reused:
				case tt.takes > 0:
					pass(tt.takes)
				default:
					pass(-tt.takes - time.Since(s.began)%-tt.takes)
				}
			}
			inSteps(t, Config{Concurrency: slots}, s, func() {
				s.limit = quota.Local(quota.Limit{Name: "s", Rate: perSecond, Burst: burst})
				stop := s.worker()
				defer stop()
				s.produce(1000)
				pass(60 * time.Second)
				s.guard.Lock()
				defer s.guard.Unlock()
				s.all.keeps(t, "the account", perSecond, burst)
				used := s.all.sum(5*time.Second, 55*time.Second) / (50 * perSecond)
				t.Logf("%.3f of the limit used", used)
				if used < tt.least {
					t.Errorf("%.3f of the limit used", used)
				}
			})
		})
	}
}

// TestP6ARequestPaysItsCost, on a limit whose burst just holds one.
func TestP6ARequestPaysItsCost(t *testing.T) {
	t.Parallel()
	s := &stepping{steps: []string{"query", "mutation"}, cost: 10, latency: 20 * time.Millisecond, asks: true}
	inSteps(t, Config{Concurrency: 4}, s, func() {
		s.limit = quota.Local(quota.Limit{Name: "s", Rate: 50, Burst: 10})
		stop := s.worker()
		defer stop()
		s.produce(100)
		pass(60 * time.Second)
		if got := s.delivered(); got != 100 {
			t.Errorf("delivered %d of 100", got)
		}
		s.all.keeps(t, "the account", 50, 10)
		if used := s.all.sum(5*time.Second, 30*time.Second) / (25 * 50); used < 0.9 { // a pick pays for a tenth of a request
			t.Errorf("%.3f of the limit used", used)
		}
	})
}

// TestP6AnEndpointHasALimitOfItsOwn: it is kept, and what does not go there is
// not kept by it.
func TestP6AnEndpointHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	s := &stepping{steps: []string{"free", "narrow", "free"}, cost: 1, latency: 10 * time.Millisecond, asks: true}
	inSteps(t, Config{Concurrency: 8}, s, func() {
		s.limit = quota.Local(quota.Limit{Name: "s", Rate: 100, Burst: 10})
		s.endpoints = map[string]*quota.Bucket{"narrow": quota.Local(quota.Limit{Name: "s/narrow", Rate: 5, Burst: 2})}
		stop := s.worker()
		defer stop()
		s.produce(200)
		pass(60 * time.Second)
		if got := s.delivered(); got != 200 {
			t.Errorf("delivered %d of 200", got)
		}
		s.all.keeps(t, "the account", 100, 10)
		s.endpoint["narrow"].keeps(t, "the endpoint", 5, 2)
		if used := s.endpoint["narrow"].sum(5*time.Second, 35*time.Second) / (30 * 5); used < 0.95 {
			t.Errorf("%.3f of the endpoint's limit used", used)
		}
	})
}

// TestP6P7ATenantPaysPerRequest, and a slow tenant takes nothing from the others.
func TestP6P7ATenantPaysPerRequest(t *testing.T) {
	t.Parallel()
	s := &stepping{steps: []string{"one", "two", "three"}, cost: 1, latency: 10 * time.Millisecond, asks: true}
	inSteps(t, Config{Concurrency: 8, TenantHeader: "tenant"}, s, func() {
		s.tenants = &eachTenant{limit: quota.Limit{Rate: 6, Burst: 2}}
		stop := s.worker()
		defer stop()
		for i := range 60 {
			s.event(strconv.Itoa(i), strconv.Itoa(i), "t"+strconv.Itoa(i%2))
		}
		pass(30 * time.Second)
		if got := s.delivered(); got != 60 {
			t.Errorf("delivered %d of 60", got)
		}
		for _, name := range []string{"t0", "t1"} {
			s.tenant[name].keeps(t, name, 6, 2)
			if used := s.tenant[name].sum(2*time.Second, 12*time.Second) / (10 * 6); used < 0.9 {
				t.Errorf("%s: %.3f of the limit used", name, used)
			}
		}
	})
}

// TestP5AHoldCutsAnAttemptShort: what is in flight sends nothing either while
// the vendor asks for silence, keeps what it has made, and spends no attempt.
func TestP5AHoldCutsAnAttemptShort(t *testing.T) {
	t.Parallel()
	s := &stepping{steps: []string{"one", "two", "three"}, cost: 1, latency: time.Second, asks: true}
	throttled := time.Duration(0)
	s.answer = func(a *sinks.Attempt, step string) error {
		if a.Event.ID == "1" && step == "one" && throttled == 0 {
			throttled = time.Since(s.began)
			return trouble{kind: account, wait: time.Hour}.verdict()
		}
		return nil
	}
	inSteps(t, Config{Concurrency: 2}, s, func() {
		stop := s.worker()
		defer stop()
		pass(5 * time.Second)
		s.event("0", "0", "")
		pass(500 * time.Millisecond)
		s.event("1", "1", "")
		pass(2 * time.Hour)
		if got := s.delivered(); got != 2 {
			t.Errorf("delivered %d of 2", got)
		}
		if n := s.all.sum(throttled+time.Millisecond, throttled+time.Hour); n != 0 {
			t.Errorf("%v requests during the hour", n)
		}
		if n := s.all.sum(0, 3*time.Hour); n != 7 {
			t.Errorf("%v requests: what was made is made again", n)
		}
		for _, a := range s.world.all() {
			if a.number != 1 {
				t.Errorf("event %s: the wait spent an attempt", a.id)
			}
		}
		if dead := s.read(topics.DeadLetters("s")); len(dead) != 0 {
			t.Errorf("%d dead letters", len(dead))
		}
	})
}

// TestASlowLimitIsNobodysTimeOut: a token takes longer than an attempt may, and
// the attempt ends all the same, in one call.
func TestASlowLimitIsNobodysTimeOut(t *testing.T) {
	t.Parallel()
	s := &stepping{steps: []string{"one", "two", "three"}, cost: 1, latency: 4 * time.Second, asks: true}
	inSteps(t, Config{Concurrency: 4, Timeout: 15 * time.Second}, s, func() {
		s.limit = quota.Local(quota.Limit{Name: "s", Rate: rate.Every(40 * time.Second), Burst: 1})
		stop := s.worker()
		defer stop()
		s.produce(3)
		pass(10 * time.Minute)
		if got := len(s.world.all()); got != 3 {
			t.Errorf("%d calls for 3 events", got)
		}
		if n := s.all.sum(0, time.Hour); n != 9 {
			t.Errorf("%v requests for 3 events of 3", n)
		}
		s.all.keeps(t, "the account", 1./40, 1)
	})
}

// TestAnAttemptHasItsTimeBesideTheWaits: a hung vendor is a time-out still.
func TestAnAttemptHasItsTimeBesideTheWaits(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Timeout: 15 * time.Second}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		var took []time.Duration
		w.limit = quota.Local(quota.Limit{Name: "s", Rate: 0.1, Burst: 1})
		w.sink = sinks.Func(func(ctx context.Context, a *sinks.Attempt) error {
			began := time.Now()
			for range 2 {
				if err := a.Pass(ctx, "", 1); err != nil {
					return err
				}
			}
			<-ctx.Done()
			took = append(took, time.Since(began))
			return ctx.Err()
		})
		stop := w.worker()
		defer stop()
		w.produce(1)
		pass(50 * time.Second)
		if len(took) == 0 || took[0] < 24*time.Second || took[0] > 26*time.Second {
			t.Errorf("calls took %v, want 15s and 10s for a token", took)
		}
	})
}
