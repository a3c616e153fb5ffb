package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Steps of a story: a request arrives and is answered, hangs after it was
// applied, or fails.
const (
	ok      = "ok"
	unheard = "applied, not answered"
	failed  = "failed"
)

type step struct {
	event string // key and sequence: a0
	what  string
	idem  string // idempotency key; the event's own if empty
}

// tell plays a story into a book, by worker w1.
func tell(steps ...step) *book {
	b := newBook(0)
	for _, s := range steps {
		seq, _ := strconv.Atoi(s.event[1:])
		r := request{at: time.Now(), id: s.event, key: s.event[:1], seq: seq, idem: s.idem, worker: "w1"}
		if r.idem == "" {
			r.idem = s.event
		}
		b.arrived(r)
		if s.what != failed {
			b.applied(r)
		}
		if s.what == ok {
			b.answered(r)
		}
	}
	return b
}

func TestP3OrderBreaksAreSeen(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		story []step
		dead  map[string]bool
		want  breaks
	}{
		"in order":                     {story: []step{{"a0", ok, ""}, {"a1", ok, ""}}},
		"other keys do not wait":       {story: []step{{"a0", failed, ""}, {"b1", ok, ""}, {"a0", ok, ""}, {"b2", ok, ""}}},
		"a failure holds its follower": {story: []step{{"a0", failed, ""}, {"a0", ok, ""}, {"a1", ok, ""}}},
		"a duplicate of an earlier one is no break": {
			story: []step{{"a0", ok, ""}, {"a1", ok, ""}, {"a0", ok, ""}, {"a1", ok, ""}},
		},
		"a follower was sent first": {
			story: []step{{"a1", ok, ""}, {"a0", ok, ""}}, want: breaks{FirstAttempts: 1, Settles: 1, Applied: 1},
		},
		"a follower overtakes what failed": {
			story: []step{{"a0", failed, ""}, {"a1", ok, ""}, {"a0", ok, ""}}, want: breaks{Settles: 1, Applied: 1},
		},
		"a follower was tried too soon, and failed": {
			story: []step{{"a0", failed, ""}, {"a1", failed, ""}, {"a0", ok, ""}, {"a1", ok, ""}}, want: breaks{Settles: 1},
		},
		"a follower goes before the answer is known": {
			story: []step{{"a0", unheard, ""}, {"a1", ok, ""}, {"a0", ok, ""}}, want: breaks{Settles: 1},
		},
		"two followers overtake": {
			story: []step{{"a0", failed, ""}, {"a1", ok, ""}, {"a2", ok, ""}, {"a0", ok, ""}}, want: breaks{Settles: 2, Applied: 2},
		},
		"order ends at a dead letter": {
			story: []step{{"a0", failed, ""}, {"a1", ok, ""}}, dead: map[string]bool{"a0": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tell(tc.story...).orderBreaks(tc.dead); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestP1P2LossAndDoubleApplicationAreSeen(t *testing.T) {
	t.Parallel()
	b := tell(step{"a0", ok, ""}, step{"a1", failed, ""}, step{"a2", unheard, ""}, step{"a2", ok, ""},
		step{"b0", ok, "first"}, step{"b0", ok, "second"}, step{"b1", failed, ""})
	applied, twice, lost := b.outcome([]string{"a0", "a1", "a2", "b0", "b1", "c0"}, map[string]bool{"b1": true})
	if applied != 3 || twice != 1 || lost != 2 {
		t.Errorf("applied %d, twice %d, lost %d; want 3 (a0 a2 b0), 1 (b0), 2 (a1 c0)", applied, twice, lost)
	}
}

func TestP2DuplicatesBelongToTheKillThatExplainsThem(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	b := newBook(0)
	b.repeats = []repeat{
		{at: at(12), answeredAt: at(9.9), answeredBy: "w1"},  // killed before it could commit
		{at: at(13), answeredAt: at(10.1), answeredBy: "w1"}, // answered to a dead worker
		{at: at(13), answeredAt: at(9.9), answeredBy: "w2"},  // w2 lived
		{at: at(22), answeredAt: at(15), answeredBy: "w1"},   // the second kill
		{at: at(30), answeredAt: at(25), answeredBy: "w1"},   // long after both
		{at: at(50), answeredAt: at(41), answeredBy: "w2"},   // could not be committed
	}
	d := b.duplicates([]kill{{worker: "w1", at: at(10)}, {worker: "w1", at: at(20)}}, []span{{from: at(40), to: at(42)}})
	if want := []int{2, 1}; d.total != 6 || d.brokerDown != 1 || d.unexplained != 2 || !slices.Equal(d.perKill, want) {
		t.Errorf("got %+v, want 6 in all, 1 with a broker down, 2 unexplained, %v by kill", d, want)
	}
}

func TestP6OvershootIsSeenInEveryWindow(t *testing.T) {
	t.Parallel()
	start := time.Now()
	steady := func(rate, n int) *book {
		b := newBook(0)
		for i := range n {
			b.arrivals = append(b.arrivals, start.Add(time.Duration(i)*time.Second/time.Duration(rate)))
		}
		return b
	}
	for _, tc := range []struct {
		rate   int
		window time.Duration
		over   bool
	}{
		{100, 100 * time.Millisecond, false},
		{100, time.Second, false},
		{100, 10 * time.Second, false},
		{105, time.Second, false},
		{105, 10 * time.Second, true}, // a burst of 10 hides 5 % for a while
		{120, time.Second, true},
		{400, 100 * time.Millisecond, true},
	} {
		if got := steady(tc.rate, 20*tc.rate).overshoot(tc.window, 100, 10); (got > 0) != tc.over {
			t.Errorf("%d/s against 100/s within %s: overshoot %d, want any: %t", tc.rate, tc.window, got, tc.over)
		}
	}
}

func TestP6WhatTheVendorSleptThroughIsForgiven(t *testing.T) {
	t.Parallel()
	start := time.Now()
	b := newBook(0)
	for i := range 200 { // 100/s, of which 40 are seen together after a stall of 400 ms
		at := start.Add(time.Duration(i) * 10 * time.Millisecond)
		if i >= 50 && i < 90 {
			at = start.Add(900 * time.Millisecond)
		}
		b.arrivals = append(b.arrivals, at)
	}
	if got := b.overshoot(100*time.Millisecond, 100, 10); got != 29 {
		t.Errorf("overshoot %d without knowing of the stall, want 29", got)
	}
	b.stalls = stalls{{from: start.Add(490 * time.Millisecond), to: start.Add(899 * time.Millisecond)}}
	for _, w := range windows() {
		if got := b.overshoot(w, 100, 10); got > 0 {
			t.Errorf("overshoot %d within %s though the vendor slept", got, w)
		}
	}
	for range 40 { // a burst of the workers' own, while the vendor ran
		b.arrivals = append(b.arrivals, start.Add(3*time.Second))
	}
	if got := b.overshoot(100*time.Millisecond, 100, 10); got == 0 {
		t.Error("a burst long after a stall is forgiven")
	}
}

func TestResumeCountsFromTheStart(t *testing.T) {
	t.Parallel()
	b := tell(step{"a0", ok, ""}, step{"b0", ok, ""})
	w := b.watch("w1")
	start := time.Now()
	late := request{at: start.Add(-time.Millisecond), id: "a1", key: "a", worker: "w1"}
	b.arrived(late) // what was under way when the worker died
	b.restarted(w, start)
	b.arrived(request{at: start.Add(time.Second), id: "c0", key: "c", worker: "w2"}) // another's key
	if _, ok := b.resumed(w); ok {
		t.Error("resumed before any of its keys went on")
	}
	b.arrived(request{at: start.Add(2 * time.Second), id: "a2", key: "a", worker: "w2"})
	if got, ok := b.resumed(w); !ok || got != 2*time.Second {
		t.Errorf("resumed after %s (%t), want 2s", got, ok)
	}
}

// TestResumeCountsNoWaitThatTheVendorAskedFor: what it asked for before the kill
// and after the start, and nothing twice.
func TestResumeCountsNoWaitThatTheVendorAskedFor(t *testing.T) {
	t.Parallel()
	b := tell(step{"a0", ok, ""})
	start := time.Now()
	told := func(worker string, from, to time.Duration) {
		b.asked(worker, span{from: start.Add(from), to: start.Add(to)})
	}
	told("w1", -time.Second, 500*time.Millisecond)
	told("w1", time.Second, 2*time.Second)
	told("w1", 1500*time.Millisecond, 2*time.Second)
	told("w1", 2*time.Second, 2*time.Second) // no time named
	told("w2", 0, 10*time.Second)
	told(everybody, 1800*time.Millisecond, 2200*time.Millisecond)
	told("w1", 3500*time.Millisecond, 9*time.Second)
	w := b.watch("w1")
	b.restarted(w, start)
	b.arrived(request{at: start.Add(4 * time.Second), id: "a1", key: "a", worker: "w1"})
	if got, ok := b.resumed(w); !ok || got != 1800*time.Millisecond {
		t.Errorf("resumed after %s (%t), want 1.8s", got, ok)
	}
}

func TestBrokenPromisesAreNamed(t *testing.T) {
	t.Parallel()
	good := func() *figures { return &figures{Sent: 10, Kills: 1, Allowed: 5} }
	for promise, spoil := range map[string]func(*figures){
		"":                             func(*figures) {},
		"P1":                           func(f *figures) { f.Lost = 1 },
		"P2: 1 events":                 func(f *figures) { f.AppliedTwice = 1 },
		"P2: a kill made 6":            func(f *figures) { f.WorstKill = 6 },
		"P2: 1 duplicate":              func(f *figures) { f.Unexplained = 1 },
		"P3":                           func(f *figures) { f.OrderBreaks = 1 },
		"P4":                           func(f *figures) { f.DeadLetters = 1 },
		"P6":                           func(f *figures) { f.Overshoot = map[string]int{"1s": 1} },
		"nothing was sent":             func(f *figures) { f.Kills = 0 },
		"keys of a restarted worker":   func(f *figures) { f.ResumeP99 = 3.1 },
		"after 1 kills no key":         func(f *figures) { f.NotResumed = 1 },
		"a worker took 26.0 s to stop": func(f *figures) { f.SlowestStop = 26 },
	} {
		f := good()
		spoil(f)
		f.check(options{limit: 100})
		if all := strings.Join(f.Broken, "; "); !strings.HasPrefix(all, promise) || (promise == "") != (all == "") || len(f.Broken) > 1 {
			t.Errorf("%q: broken is %q", promise, all)
		}
	}
}

func TestTheVendorFailsAnEventThreeTimesAtMost(t *testing.T) {
	t.Parallel()
	b := newBook(1)
	for i := range 10 {
		r := request{at: time.Now(), id: fmt.Sprint("a", i%2), key: "a", idem: "i"}
		if kind := b.arrived(r); (kind == faultNone) != (i >= 6) || kind >= faults {
			t.Errorf("request %d: fault %d", i, kind)
		}
	}
}

func TestACommitThatMovesBackIsSeen(t *testing.T) {
	t.Parallel()
	s := newOffsetsSeen("holdfast.s")
	commit := func(group string, partition int32, offset int64) {
		k := kmsg.OffsetCommitKey{Version: 1, Group: group, Topic: "a.v1", Partition: partition}
		v := kmsg.OffsetCommitValue{Version: 3, Offset: offset}
		s.commit(k.AppendTo(nil), v.AppendTo(nil))
	}
	for _, offset := range []int64{3, 3, 9} {
		commit("holdfast.s", 0, offset)
	}
	commit("holdfast.s", 1, 2)     // another partition
	commit("holdfast.other", 0, 1) // another group
	s.commit((&kmsg.GroupMetadataKey{Version: 2, Group: "holdfast.s"}).AppendTo(nil), []byte("x"))
	if s.backwards != 0 {
		t.Fatalf("%d commits moved back, none did", s.backwards)
	}
	commit("holdfast.s", 0, 8)
	if s.backwards != 1 {
		t.Errorf("%d commits moved back, want 1", s.backwards)
	}
}

// TestP2WhatAFrozenWorkerSendsIsItsOwn: it had been answered by another one.
func TestP2WhatAFrozenWorkerSendsIsItsOwn(t *testing.T) {
	t.Parallel()
	b, now := newBook(0), time.Now()
	send := func(worker string, at time.Time) {
		r := request{at: at, id: "a0", key: "a", idem: "a0", worker: worker}
		b.arrived(r)
		b.applied(r)
		b.answered(r)
	}
	send("w2", now)
	send("w1", now.Add(time.Second))
	send("w1", now.Add(time.Minute)) // long after it went on: nothing explains this one
	d := b.duplicates([]kill{{worker: "w1", at: now.Add(-time.Minute), frozen: true, thawed: now.Add(time.Second / 2)}}, nil)
	if d.zombie != 1 || d.unexplained != 1 {
		t.Errorf("%d of the frozen worker, %d unexplained; want one each", d.zombie, d.unexplained)
	}
}
