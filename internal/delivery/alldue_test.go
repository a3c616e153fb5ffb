//go:build synctests

package delivery

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// TestP11WhatIsDueAtOnceIsReadOnce: three times as many records as memory may
// hold for later lie in a tier and are due together. None goes early, all go
// soon, and no batch is read for each of its records.
func TestP11WhatIsDueAtOnceIsReadOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{Concurrency: 64}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		const n = 3 * maxHeldRecords / 2
		due := time.Now().Add(time.Minute).Truncate(time.Millisecond)
		parked := make([]*kgo.Record, n)
		for i := range parked {
			at := holdfast.Coordinates{Topic: "former.v1", Offset: int64(i)}
			env := &record.Envelope{
				Event:   holdfast.Event{ID: strconv.Itoa(i), Key: []byte(strconv.Itoa(i)), Origin: at, Time: time.Now()},
				Payload: []byte{0}, At: at, Sink: "s", Due: due,
			}
			parked[i] = env.To(topics.Retry("s", time.Minute), 0, 0)
		}
		if err := w.client.ProduceSync(w.t.Context(), parked...).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
		var again atomic.Int64
		w.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			if req.(*kmsg.FetchRequest).MaxWaitMillis == 0 { //nolint:forcetypeassert // by its key
				again.Add(1)
			}
			return nil, nil, false
		})
		stop := w.worker()
		defer stop()
		time.Sleep(time.Minute + 5*time.Second) //nolint:forbidigo // virtual time
		if got := w.delivered(); got != n {
			w.t.Fatalf("%d of %d are delivered 5 s after they were due", got, n)
		}
		for _, a := range w.all() {
			// A broker may sit on the worker's other request for 100 ms.
			if late := a.at - due.Sub(w.began); late < 0 || late > fetchMaxWait/2 {
				w.t.Fatalf("%s went %s late", a.id, late)
			}
		}
		// Without looking at what came along it takes 16.
		if got := again.Load(); got > 4 {
			w.t.Errorf("%d requests for what one answer of a broker holds", got)
		}
	})
}
