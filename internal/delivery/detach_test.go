package delivery

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/record"
)

// TestP11ARecordThatWaitsDoesNotHoldItsBatch: of each batch of 256 KiB one
// record waits for an hour, and the others are delivered at once.
func TestP11ARecordThatWaitsDoesNotHoldItsBatch(t *testing.T) { //nolint:paralleltest // measures the heap of the process
	const batches, records, size = 400, 256, 1 << 10
	s := lanes(true)
	before := inUse()
	for b := range batches {
		batch := make([]byte, records*size)
		arrivals := make([]arrival, records)
		for i := range arrivals {
			r := &kgo.Record{Topic: "orders.v1", Offset: int64(b*records + i), Value: batch[i*size : (i+1)*size : (i+1)*size]}
			r.Key = []byte(strconv.FormatInt(r.Offset, 10))
			arrivals[i] = arrival{offset: r.Offset, env: record.Read(r, record.FromProducer)}
		}
		arrivals[0].due = time.Now().Add(time.Hour)
		s.admit("orders.v1", 0, arrivals)
		for range records - 1 {
			done := s.next(&gate{})
			s.judge(done, finding{outcome: breaker.Answered, delivered: true}, time.Now())
		}
	}
	if s.outstanding != batches {
		t.Fatalf("%d records wait, want %d", s.outstanding, batches)
	}
	// Two looks, and their own bytes; all batches together are 100 MiB.
	if held := inUse() - before; held > 3*detachEvery {
		t.Errorf("%d records of 1 KiB hold %d MiB", batches, held>>20)
	}
	runtime.KeepAlive(s)
}
