package delivery

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/record"
)

// lanes is a scheduler with one shard that is open and empty.
func lanes(ordered bool) *scheduler {
	s := newScheduler(Config{Sink: "s", Source: "orders.v1", Tiers: []time.Duration{time.Minute}, Ordered: ordered, Concurrency: 64}.withDefaults(), nil, nil, nil)
	for _, topic := range s.layout.names {
		s.assign(context.Background(), topic, 0, 1)
		if err := s.committed(topic, 0, 0, ""); err != nil {
			panic(err)
		}
		s.ended(topic, 0, 0)
	}
	return s
}

// BenchmarkDispatch takes records of 64 keys from their admission to their
// settlement, without a broker and without a vendor.
func BenchmarkDispatch(b *testing.B) {
	const keys = 64
	for name, ordered := range map[string]bool{"ordered": true, "unordered": false} {
		b.Run(name, func(b *testing.B) {
			s := lanes(ordered)
			names := make([][]byte, keys)
			for i := range names {
				names[i] = []byte("key-" + strconv.Itoa(i))
			}
			offset, g := int64(0), gate{}
			b.ReportAllocs()
			for left := b.N; left > 0; {
				batch := make([]arrival, min(left, 4*keys))
				for i := range batch {
					at := holdfast.Coordinates{Topic: "orders.v1", Offset: offset}
					batch[i] = arrival{offset: offset, env: &record.Envelope{
						Event: holdfast.Event{ID: "e", Key: names[offset%keys], Origin: at}, At: at, Payload: []byte{0},
					}}
					offset++
				}
				s.admit("orders.v1", 0, batch)
				for range batch {
					t := s.next(&g)
					s.judge(t, finding{outcome: breaker.Answered, delivered: true}, time.Now())
				}
				s.toCommit()
				left -= len(batch)
			}
			if s.outstanding != 0 || s.flying != 0 {
				b.Errorf("%d outstanding, %d in flight at the end", s.outstanding, s.flying)
			}
		})
	}
}

// BenchmarkIndex inserts records and removes them in the order of their keys.
func BenchmarkIndex(b *testing.B) {
	for _, perKey := range []int{1, 16} {
		b.Run(strconv.Itoa(perKey)+" of each key", func(b *testing.B) {
			const size = 1 << 16
			x := newIndex()
			ids := make([]id, 0, size)
			b.ReportAllocs()
			for n := 0; n < b.N; n += size {
				for i := range size {
					e := entry{key: scatter(i / perKey), origin: int64(i)}
					e.set(stored)
					ids = append(ids, x.insert(e))
				}
				for _, i := range ids {
					x.remove(i)
				}
				ids = ids[:0]
			}
		})
	}
}

// scatter makes a hash of a number.
func scatter(n int) uint64 { return (uint64(n) + 1) * 0x9E3779B97F4A7C15 }

// TestP11AMillionOutstandingRecordsCostBytesEach measures what the index needs,
// its hash table and the slack of its growth included.
func TestP11AMillionOutstandingRecordsCostBytesEach(t *testing.T) { //nolint:paralleltest // measures the heap of the process
	const million = 1_000_000
	for perKey, most := range map[int]float64{1: 48, 100: 44} {
		before := inUse()
		x := newIndex()
		for i := range million {
			e := entry{key: scatter(i / perKey), origin: int64(i)}
			e.set(stored)
			x.insert(e)
		}
		each := float64(inUse()-before) / million
		t.Logf("%d records of each key: %.1f bytes each", perKey, each)
		if each > most {
			t.Errorf("%d records of each key cost %.1f bytes each, want %.0f at most", perKey, each, most)
		}
		if x.live != million {
			t.Errorf("%d entries", x.live)
		}
	}
}

// inUse is how many bytes are in use after a collection.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
