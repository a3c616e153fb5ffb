package main

import (
	"slices"
	"strings"
	"time"
)

// The contenders.
const (
	raw    = "raw"    // net/http alone: the ceiling
	lanes  = "lanes"  // key lanes by hand
	serial = "serial" // one record in flight per partition
	engine = "engine" // holdfast
)

// benchCase is one comparison.
type benchCase struct {
	Name       string
	Latency    time.Duration // of the vendor
	InFlight   int
	Partitions int32
	Ordered    bool
	Records    int // measured, after the warm-up
	// Goals of the engine; 0 is none.
	OfRaw, OfIdeal, OfLanes float64
}

// cpuGoal is how much more CPU than the lanes by hand the engine may use.
const cpuGoal = 1.15

// warm-up and reserve are records beside the measured ones. The reserve keeps
// every slot busy up to the last measured record.
const (
	warmUp  = 2000
	reserve = 1000
)

// cases lists the comparisons of a run.
func cases() []benchCase {
	var all []benchCase
	for _, c := range []benchCase{
		{Name: "0ms", InFlight: 64, Partitions: 12, Records: 60_000, OfRaw: 0.95},
		{Name: "5ms", Latency: 5 * time.Millisecond, InFlight: 64, Partitions: 12, Records: 20_000},
		{Name: "50ms", Latency: 50 * time.Millisecond, InFlight: 64, Partitions: 12, Records: 3000, OfIdeal: 0.97},
		{Name: "hot-2.5ms", Latency: 2500 * time.Microsecond, InFlight: 100, Partitions: 1, Records: 60_000, OfLanes: 0.95},
	} {
		for _, ordered := range []bool{true, false} {
			each := c
			each.Ordered = ordered
			each.Name += map[bool]string{true: "-ordered", false: "-unordered"}[ordered]
			all = append(all, each)
		}
	}
	return all
}

// called lists the comparisons that the flags pick.
func called(o options) []benchCase {
	return slices.DeleteFunc(cases(), func(c benchCase) bool { return !c.called(o.only) })
}

// called reports whether a name picks the case: all of its own, a part, or "".
func (c benchCase) called(name string) bool {
	return name == "" || name == c.Name || slices.Contains(strings.Split(c.Name, "-"), name)
}

// contenders run in each round of a case, in an order that is turned by one each
// round: a machine that has worked hard may be slower. Serial delivery is far off
// and cares for no order of keys: it runs once.
func (c benchCase) contenders(round int) []string {
	list := []string{raw, lanes, engine}
	first := round % len(list)
	list = slices.Concat(list[first:], list[:first])
	if c.Ordered && round == 0 {
		return append([]string{serial}, list...)
	}
	return list
}

// ideal is what no queue can exceed, in records a second; 0 for no bound.
func (c benchCase) ideal() float64 {
	if c.Latency == 0 {
		return 0
	}
	return float64(c.InFlight) / c.Latency.Seconds()
}

// warm is how many records are not measured. A contender that is slow by
// design has fewer.
func (c benchCase) warm() int { return min(warmUp, c.Records/4) }

// longest is the most that a measurement takes: serial delivery to a slow
// vendor would take minutes.
const longest = 6 * time.Second

// enough time for a case: on a busy machine no further round begins after it,
// so that a whole run stays within ten minutes.
const enough = 70 * time.Second

// filled is how many records a topic of a partition count must hold.
func filled(partitions int32) int {
	most := 0
	for _, c := range cases() {
		if c.Partitions == partitions {
			most = max(most, c.warm()+c.Records+reserve)
		}
	}
	return most
}
