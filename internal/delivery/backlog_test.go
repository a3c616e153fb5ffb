//go:build synctests

package delivery

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/sinks"
)

// readRecords counts what a client decodes of a topic.
type readRecords struct {
	topic string
	n     atomic.Int64
}

func (r *readRecords) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, _ int32, m kgo.FetchBatchMetrics) {
	if topic == r.topic {
		r.n.Add(int64(m.NumRecords))
	}
}

// TestP11ANewSinkReadsItsBacklogOnce: memory is full before the place where it
// begins is committed, and nothing that was read ahead is dropped for that.
func TestP11ANewSinkReadsItsBacklogOnce(t *testing.T) {
	t.Parallel()
	slow := func(*sinks.Attempt, int) error { pass(10 * time.Millisecond); return nil }
	inWorld(t, Config{Concurrency: 64}, slow, func(w *world) {
		const n = 2 * maxHeldRecords
		backlog := make([]*kgo.Record, n)
		for i := range backlog {
			id := []byte(strconv.Itoa(i))
			backlog[i] = &kgo.Record{Topic: source, Partition: int32(i % 2), Key: id, Value: []byte{0}}
		}
		if err := w.client.ProduceSync(w.t.Context(), backlog...).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
		read := &readRecords{topic: source}
		w.opts = append(w.opts, kgo.WithHooks(read))
		stop := w.worker()
		defer stop()
		pass(time.Minute)
		if got := w.delivered(); got != n {
			w.t.Errorf("%d of %d delivered", got, n)
		}
		if got := read.n.Load(); got != n {
			w.t.Errorf("%d records were read of %d", got, n)
		}
	})
}
