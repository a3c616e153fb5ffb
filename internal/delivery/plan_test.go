//go:build synctests

package delivery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"holdfast.internal/internal/disposition"
)

// plan is one run of the model: what is produced, what the vendor makes of it,
// and what happens to workers and brokers meanwhile.
type plan struct {
	concurrency int
	park        bool // what follows a dead letter waits until somebody decided
	rate        int  // requests per second of all workers together; 0 for no limit
	events      []event
	steps       []step
}

// event is one record, by key and in order. The vendor meets it with each of
// its troubles in turn, then with success, or with a refusal.
type event struct {
	key      int
	after    time.Duration // since the event before it was produced
	latency  time.Duration // of every answer about it
	requests int           // of an attempt; the last one's answer counts
	connects time.Duration // that long the first one waits for its connection
	endpoint int           // of the first of them; each further one goes to the next
	troubles []trouble
	refused  bool
	// decision is what becomes of a refused one where followers park, and think
	// how long that takes. A redriven one is taken.
	decision disposition.State
	think    time.Duration
}

// trouble is one answer that is none.
type trouble struct {
	kind string
	wait time.Duration // of a throttle, as its Retry-After says
}

// Kinds of trouble.
const (
	lock       = "lock"     // the record's own, spends an attempt
	err5xx     = "5xx"      //
	hang       = "hang"     // until the time-out
	reset      = "reset"    // before anything took effect
	lost       = "lost"     // applied, but nobody hears of it
	down       = "down"     // the sink says that the destination is down
	account    = "account"  // throttles, by scope
	tenanted   = "tenant"   //
	atEndpoint = "endpoint" //
	alone      = "record"   //
)

// maxTroubles leaves room for two attempts that an outage spends, because
// somebody else was answered as it began: nothing dies of all of them.
const maxTroubles = 1

// oneOutage leaves only the first outage of a plan, for the same reason.
func oneOutage(steps []step) []step {
	outages := 0
	return slices.DeleteFunc(steps, func(s step) bool {
		if s.kind == outageOf5xx || s.kind == outageHangs {
			outages++
			return outages > 1
		}
		return false
	})
}

// step is something that happens to workers, brokers or the vendor.
type step struct {
	at   time.Duration
	kind string
	span time.Duration // of an outage, or until the worker is back
}

// Kinds of steps; the faults of faults_test.go are kinds too.
const (
	killFirst   = "kill the first worker"
	killSecond  = "kill the second worker"
	stopFirst   = "stop the first worker"
	joinSecond  = "start the second worker"
	stopSecond  = "stop the second worker"
	moveLeaders = "move the leaders"
	moveGroup   = "move the coordinator"
	outageOf5xx = "outage with 503"
	outageHangs = "outage that hangs"
)

// endpoints are the names that requests go to; without a name it is the account's.
func endpoints() []string { return []string{"", "a", "b"} }

// path is the endpoint of an event's nth request, from 0.
func (e event) path(n int) string { return endpoints()[(e.endpoint+n)%len(endpoints())] }

// last is the endpoint whose answer counts.
func (e event) last() string { return e.path(e.requests - 1) }

func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "concurrency %d, park %v, %d requests a second\n", p.concurrency, p.park, p.rate)
	for _, s := range p.steps {
		fmt.Fprintf(&b, "  at %s: %s (%s)\n", s.at, s.kind, s.span)
	}
	for i, e := range p.events {
		fmt.Fprintf(&b, "  event %d: key %d, after %s, %d requests from endpoint %d on, connects in %s, takes %s, %v, refused %v, %s after %s\n", i, e.key, e.after, e.requests, e.endpoint, e.connects, e.latency, e.troubles, e.refused, e.decision, e.think)
	}
	return b.String()
}

// plans draws plans.
func plans() *rapid.Generator[plan] {
	return rapid.Custom(func(t *rapid.T) plan {
		keys := rapid.IntRange(3, 6).Draw(t, "keys")
		p := plan{
			concurrency: rapid.SampledFrom([]int{4, 1, 2, 8}).Draw(t, "concurrency"),
			events:      rapid.SliceOfN(eventsOf(keys), 40, 40).Draw(t, "events"),
			steps:       rapid.SliceOfN(steps(), 0, 8).Draw(t, "steps"),
			park:        rapid.IntRange(0, 2).Draw(t, "park") == 2,
		}
		// Drawn last, so that the rest of a plan stays what it was without them.
		p.rate = rapid.SampledFrom([]int{0, 40, 10}).Draw(t, "rate")
		for i, n := range rapid.SliceOfN(rapid.SampledFrom([]int{1, 1, 2, 4}), len(p.events), len(p.events)).Draw(t, "requests") {
			p.events[i].requests = n
		}
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, len(endpoints())-1), len(p.events), len(p.events)).Draw(t, "endpoints") {
			p.events[i].endpoint = n
		}
		connects := rapid.SampledFrom([]time.Duration{0, 0, 0, 200 * time.Millisecond, 600 * time.Millisecond})
		for i, d := range rapid.SliceOfN(connects, len(p.events), len(p.events)).Draw(t, "connects") {
			p.events[i].connects = d
		}
		slices.SortStableFunc(p.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
		p.steps = oneOutage(p.steps)
		return p
	})
}

func eventsOf(keys int) *rapid.Generator[event] {
	times := func(all ...time.Duration) *rapid.Generator[time.Duration] { return rapid.SampledFrom(all) }
	troubles := rapid.Custom(func(t *rapid.T) trouble {
		return trouble{
			kind: rapid.SampledFrom([]string{lock, lock, lock, err5xx, err5xx, reset, lost, hang, down, account, tenanted, atEndpoint, alone}).Draw(t, "kind"),
			wait: times(0, -time.Second, time.Nanosecond, 300*time.Millisecond, 1500*time.Millisecond, 3*time.Second, 1<<63-1).Draw(t, "wait"),
		}
	})
	return rapid.Custom(func(t *rapid.T) event {
		e := event{
			key:     rapid.IntRange(0, keys-1).Draw(t, "key"),
			after:   times(0, 0, 0, 0, 3*time.Millisecond, 90*time.Millisecond, 700*time.Millisecond).Draw(t, "after"),
			latency: times(time.Millisecond, 5*time.Millisecond, 40*time.Millisecond, 300*time.Millisecond, 1200*time.Millisecond).Draw(t, "latency"),
			refused: rapid.IntRange(0, 9).Draw(t, "refused") == 9,
		}
		if e.refused {
			e.decision = rapid.SampledFrom([]disposition.State{disposition.Redriven, disposition.Redriven, disposition.Skipped, disposition.Discarded}).Draw(t, "decision")
			e.think = times(0, 30*time.Millisecond, time.Second, 6*time.Second).Draw(t, "think")
		}
		if rapid.IntRange(0, 3).Draw(t, "troubled") == 3 {
			e.troubles = rapid.SliceOfN(troubles, 1, maxTroubles).Draw(t, "troubles")
		}
		return e
	})
}

func steps() *rapid.Generator[step] {
	kinds := []string{
		killFirst, killFirst, killFirst, joinSecond, joinSecond, killSecond, stopSecond, stopFirst,
		moveLeaders, moveGroup, outageOf5xx, outageHangs,
	}
	for name := range brokerFaults() {
		kinds = append(kinds, name)
	}
	slices.Sort(kinds)
	return rapid.Custom(func(t *rapid.T) step {
		return step{
			at:   time.Duration(rapid.IntRange(0, 15_000).Draw(t, "at")) * time.Millisecond,
			kind: rapid.SampledFrom(kinds).Draw(t, "step"),
			span: time.Duration(rapid.IntRange(100, 10_000).Draw(t, "span")) * time.Millisecond,
		}
	})
}
