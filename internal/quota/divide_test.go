package quota

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func askersOf(wants ...float64) []asker {
	var all []asker
	for i, w := range wants {
		all = append(all, asker{id: fmt.Sprintf("w%d", i), want: w, need: 1})
	}
	return all
}

func TestDivide(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		total share
		wants []float64
		rates []float64
	}{
		"one alone":                              {share{100, 100}, []float64{100}, []float64{99}},
		"all want more than there is":            {share{100, 100}, []float64{100, 100, 100}, []float64{33, 33, 33}},
		"small wants are met, the rest is one's": {share{100, 100}, []float64{100, 6, 6}, []float64{87, 6, 6}},
		"a middle one is met":                    {share{100, 100}, []float64{100, 30, 100}, []float64{34.5, 30, 34.5}},
		"idle ones get nothing of a scarce":      {share{100, 100}, []float64{100, 0}, []float64{99, 0}},
		"what is left goes by want":              {share{101, 100}, []float64{30, 10}, []float64{30 + 59.99*34.99975/49.9995, 10 + 59.99*14.99975/49.9995}},
		"nobody wants any yet":                   {share{100, 100}, []float64{0, 0}, []float64{49.5, 49.5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := divide(c.total, askersOf(c.wants...))
			for i, want := range c.rates {
				if got := parts[fmt.Sprintf("w%d", i)].Rate; math.Abs(got-want) > 0.01 {
					t.Errorf("w%d got %.3f, want %.3f", i, got, want)
				}
			}
		})
	}
}

// TestDivideIsFair: the parts fit, everybody's burst covers its need, nobody
// has less than it wants while another has more than that without wanting it,
// and all but the spare is given.
func TestDivideIsFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var askers []asker
		var needs float64
		for i := range rapid.IntRange(1, 8).Draw(t, "askers") {
			a := asker{
				id:   fmt.Sprintf("w%d", i),
				want: rapid.SampledFrom([]float64{0, 0.1, 1, 10, 50, 100}).Draw(t, "want"),
				need: rapid.SampledFrom([]float64{0.5, 1, 1, 3}).Draw(t, "need"),
			}
			needs += a.need
			askers = append(askers, a)
		}
		total := share{Rate: rapid.Float64Range(0.01, 200).Draw(t, "rate"), Burst: needs + rapid.Float64Range(0, 50).Draw(t, "extra")}
		parts := divide(total, askers)
		var sum share
		for _, a := range askers {
			sum = sum.plus(parts[a.id])
			if p := parts[a.id]; p.Rate > 0 && p.Burst < a.need-1e-9 {
				t.Errorf("%s needs a burst of %v, has %v", a.id, a.need, p.Burst)
			}
			for _, o := range askers {
				if parts[a.id].Rate < a.want-1e-9 && parts[o.id].Rate > parts[a.id].Rate+1e-9 {
					t.Errorf("%s wants %v and has %v, %s has %v", a.id, a.want, parts[a.id].Rate, o.id, parts[o.id].Rate)
				}
			}
		}
		if pool := total.Rate * (1 - spare); math.Abs(sum.Rate-pool) > 1e-9*pool || sum.Burst > total.Burst+1e-9 {
			t.Errorf("gave %v of %v", sum, total)
		}
	})
}

// TestLedger: a newcomer gets the spare at once and its part when the others
// have let go: by word, or by the end of their term.
func TestLedger(t *testing.T) {
	t.Parallel()
	now := time.Now()
	total := share{Rate: 100, Burst: 100}
	until := map[string]time.Time{"a": now.Add(Term), "b": now.Add(Term)}
	for name, c := range map[string]struct {
		letGo func(l *ledger)
		want  float64
	}{
		"nothing heard":              {func(*ledger) {}, 1},
		"an ack of the larger share": {func(l *ledger) { l.ack("a", ruling{"g", 1}) }, 1},
		"an ack of an unknown round": {func(l *ledger) { l.ack("a", ruling{"g", 7}) }, 1},
		"an ack of the smaller":      {func(l *ledger) { l.ack("a", ruling{"g", 2}) }, 49.5},
		"it has left":                {func(l *ledger) { l.gone("a") }, 49.5},
		"its term has ended":         {func(l *ledger) { l.expire(now.Add(Term), 0) }, 49.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			l.grant(total, divide(total, askersOf(100)), ruling{"g", 1}, until) // w0
			l.held["a"] = l.held["w0"]
			delete(l.held, "w0")
			l.held["a"][0].until = until["a"]
			half := map[string]share{"a": {Rate: 49.5, Burst: 49}, "b": {Rate: 49.5, Burst: 49}}
			if got := l.grant(total, half, ruling{"g", 2}, until); math.Abs(got["b"].Rate-1) > 1e-9 || got["b"].Burst < 1-1e-9 || got["a"] != half["a"] {
				t.Fatalf("in the first round %v", got)
			}
			c.letGo(l)
			later := map[string]time.Time{"b": now.Add(2 * Term)}
			if got := l.grant(total, map[string]share{"b": half["b"]}, ruling{"g", 3}, later); math.Abs(got["b"].Rate-c.want) > 1e-9 {
				t.Errorf("then %v, want %v", got["b"].Rate, c.want)
			}
		})
	}
}

// TestLedgerNeverPromisesTwice, whatever is granted, heard and forgotten.
func TestLedgerNeverPromisesTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, now, round := newLedger(), time.Unix(0, 0), uint64(0)
		total := share{Rate: 100, Burst: 10}
		t.Repeat(map[string]func(*rapid.T){
			"grant": func(t *rapid.T) {
				round++
				wants := rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 5).Draw(t, "wants")
				until := map[string]time.Time{}
				for _, a := range askersOf(wants...) {
					until[a.id] = now.Add(time.Duration(rapid.IntRange(0, int(Term.Milliseconds())).Draw(t, "ms")) * time.Millisecond)
				}
				l.grant(total, divide(total, askersOf(wants...)), ruling{"g", round}, until)
			},
			"ack": func(t *rapid.T) {
				l.ack(fmt.Sprintf("w%d", rapid.IntRange(0, 4).Draw(t, "who")), ruling{"g", uint64(rapid.IntRange(0, int(round)).Draw(t, "round"))})
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
				l.expire(now, 0)
			},
			"": func(t *rapid.T) {
				if sum := l.promised(); sum.Rate > total.Rate+1e-6 || sum.Burst > total.Burst+1e-6 {
					t.Fatalf("promised %v", sum)
				}
			},
		})
	})
}

// TestTurns: everybody who wants to send has a turn, nobody else has, and those
// of one turn fit into the burst.
func TestTurns(t *testing.T) {
	t.Parallel()
	now, total := time.Now(), share{Rate: 10, Burst: 2}
	askers := askersOf(10, 10, 10, 0, 10, 10)
	turns := map[string]int{}
	var s slots
	for range 100 {
		now = now.Add(time.Second)
		chosen := s.turns(now, total, askers)
		if len(chosen) != 2 {
			t.Fatalf("%d of a turn in a burst of 2", len(chosen))
		}
		parts := divide(total, chosen)
		s.granted(now, parts, parts)
		for _, a := range chosen {
			turns[a.id]++
		}
	}
	if len(turns) != 5 || turns["w3"] > 0 {
		t.Fatalf("turns %v", turns)
	}
	for id, n := range turns {
		if n < 28 || n > 52 { // of 100 s, two at a time, among five
			t.Errorf("%s had %d s", id, n)
		}
	}
	if all := s.turns(now, share{Rate: 10, Burst: 6}, askers); len(all) != 6 {
		t.Errorf("%d may send where all fit", len(all))
	}
	if busy := s.turns(now, share{Rate: 10, Burst: 5}, askers); len(busy) != 5 {
		t.Errorf("%d may send where those who want fit", len(busy))
	}
}

// TestOneRecordFitsInATurn, however slow the limit.
func TestOneRecordFitsInATurn(t *testing.T) {
	t.Parallel()
	for _, each := range []float64{0.01, 0.5, 1, 5.9, 6, 7, 60, 3600, 86400} {
		turn := slotOf(each).Seconds()
		if turn < each*1.01 || turn < slotLeast.Seconds() || turn > max(2*slotLeast.Seconds()+1, each*1.1) {
			t.Errorf("a turn of %v s for records of %v s", turn, each)
		}
	}
}
