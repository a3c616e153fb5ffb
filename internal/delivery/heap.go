package delivery

import (
	"os"
	"runtime/debug"
)

const (
	// collectAt is how far the heap grows between two collections, in percent of
	// what the first one left.
	collectAt = 200
	// heapOfOne is what a worker's process uses at most before it collects more
	// often than that: below what is promised of its memory (P11) by what lies
	// outside of the heap.
	heapOfOne = 96 << 20
)

// PaceCollector lets the garbage collector of a process with so many workers
// run when the heap has tripled, not doubled as by itself: what a worker holds
// is small and bounded, so the collector ran several times a second, and took
// a twentieth of the processor more. Where the environment has GOGC or
// GOMEMLIMIT, that holds.
func PaceCollector(workers int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(workers+1) * heapOfOne)
	}
}
