package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAGoalThatIsMissedIsNamed(t *testing.T) {
	t.Parallel()
	round := func(engineRate, engineCPU float64) result {
		r := result{Case: "c", Ideal: 1000, spec: benchCase{OfRaw: 0.95, OfIdeal: 0.97, OfLanes: 0.95}, Figures: []figures{
			{Contender: raw, Rate: 1000, CPUMicros: 10},
			{Contender: lanes, Rate: 1000, CPUMicros: 20},
			{Contender: engine, Rate: engineRate, CPUMicros: engineCPU},
		}}
		r.compare()
		return r
	}
	for name, tc := range map[string]struct {
		rounds []result
		want   []string
	}{
		"all goals met":                 {[]result{round(990, 22)}, nil},
		"one slow round of three":       {[]result{round(990, 22), round(500, 22), round(990, 22)}, nil},
		"too slow":                      {[]result{round(940, 22)}, []string{"of_raw", "of_ideal", "of_lanes"}},
		"too slow for the ideal alone":  {[]result{round(960, 22)}, []string{"of_ideal"}},
		"too much CPU, in two of three": {[]result{round(990, 24), round(990, 24), round(990, 20)}, []string{"cpu_of_lanes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := report{Cases: []result{median(tc.rounds)}}
			r.judge()
			var missed []string
			for _, m := range r.Missed {
				missed = append(missed, strings.Fields(m)[1])
			}
			if !slices.Equal(missed, tc.want) {
				t.Errorf("missed %v, want %v", r.Missed, tc.want)
			}
		})
	}
}

func TestCommitsOnlyTheContiguousPrefix(t *testing.T) {
	t.Parallel()
	p := prefixes{of: map[int32]*prefix{}}
	record := func(offset int64) *kgo.Record { return &kgo.Record{Partition: 3, Offset: offset} }
	p.begin(record(10))
	for _, step := range []struct{ finish, base int64 }{{11, 10}, {13, 10}, {10, 12}, {12, 14}} {
		p.finish(record(step.finish))
		if got := p.of[3].base; got != step.base {
			t.Errorf("after %d: would commit %d, want %d", step.finish, got, step.base)
		}
	}
}

func TestLanesKeepOneRecordOfAKeyInFlight(t *testing.T) {
	t.Parallel()
	h := newHand(true)
	for i, key := range []string{"a", "a", "b"} {
		h.add(t.Context(), &kgo.Record{Key: []byte(key), Offset: int64(i)})
	}
	first, second := <-h.ready, <-h.ready
	if first.key == second.key || len(h.ready) != 0 {
		t.Fatalf("ready: %s, %s and %d more; want one of each key", first.key, second.key, len(h.ready))
	}
	h.settle(first, h.head(first))
	if next := <-h.ready; next.key != "a" || h.head(next).Offset != 1 {
		t.Errorf("after the first a: %s@%d, want a@1", next.key, h.head(next).Offset)
	}
}
