package offsets_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"holdfast.internal/internal/delivery/offsets"
)

// BenchmarkInOrder is one record at a time, as a partition with one key.
func BenchmarkInOrder(b *testing.B) {
	tr := start(b, 0, "")
	b.ReportAllocs()
	for o := int64(0); b.Loop(); o++ {
		tr.Add(o)
		tr.Finish(o)
	}
}

// BenchmarkWindow adds one record and finishes a random one of a full window,
// and asks for the size, as the engine does.
func BenchmarkWindow(b *testing.B) {
	for _, window := range []int{64, 100_000} {
		b.Run(strconv.Itoa(window), func(b *testing.B) {
			tr := start(b, 0, "")
			rng := rand.New(rand.NewPCG(1, 2))
			open := make([]int64, window)
			next := int64(0)
			for ; next < int64(window); next++ {
				open[next] = next
				tr.Add(next)
			}
			step := func() {
				i := rng.IntN(window)
				tr.Finish(open[i])
				open[i] = next
				tr.Add(next)
				next++
			}
			for range 20 * window { // until the window has its steady shape
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
				if tr.Size() > offsets.MaxMetadata {
					b.Fatal("too long")
				}
			}
		})
	}
}

// BenchmarkSlowHead finishes everything but the head, in a window of 100,000.
func BenchmarkSlowHead(b *testing.B) {
	tr := start(b, 0, "")
	head, next := int64(0), int64(1)
	tr.Add(head)
	b.ReportAllocs()
	for b.Loop() {
		tr.Add(next)
		tr.Finish(next)
		tr.Size()
		if next++; next-head == 100_000 {
			tr.Finish(head)
			head = next
			tr.Add(head)
			next++
		}
	}
}

// BenchmarkCommit encodes a window of 100,000 of which a third is finished.
func BenchmarkCommit(b *testing.B) {
	tr := start(b, 0, "")
	const window = 100_000
	for o := range int64(2 * window) {
		tr.Add(o)
	}
	for o := int64(1); o < window; o += 3 {
		tr.Finish(o)
	}
	b.ReportAllocs()
	for o := int64(window); b.Loop(); o++ {
		tr.Add(2*window + o)
		tr.Finish(o)
		tr.Commit()
	}
}
