package delivery

import (
	"math"
	"runtime/debug"
	"testing"
)

// TestTheEnvironmentPacesTheCollector where it says something.
func TestTheEnvironmentPacesTheCollector(t *testing.T) { //nolint:paralleltest // it is the process's collector
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) })
	for _, test := range []struct {
		gogc, gomemlimit string
		percent          int
		limit            int64
	}{
		{"50", "1GiB", 100, math.MaxInt64},
		{"", "1GiB", collectAt, math.MaxInt64},
		{"50", "", 100, 3 * heapOfOne},
	} {
		t.Setenv("GOGC", test.gogc)
		t.Setenv("GOMEMLIMIT", test.gomemlimit)
		PaceCollector(2)
		if p, l := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64); p != test.percent || l != test.limit {
			t.Errorf("GOGC=%q GOMEMLIMIT=%q: collects at %d %%, limit %d; want %d and %d", test.gogc, test.gomemlimit, p, l, test.percent, test.limit)
		}
	}
}
