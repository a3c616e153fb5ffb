package delivery

import (
	"context"
	"encoding/json"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// receipt writes what the vendor answered, for those who ask later whether a
// record was delivered. Nothing waits for it: without one, the record itself
// still tells.
func (w *Worker) receipt(t *task, a *sinks.Attempt, took time.Duration) {
	if w.deps.Receipts == nil {
		return
	}
	value, err := json.Marshal(record.Receipt{
		VendorIDs: record.VendorIDs{ObjectID: a.Receipt.ObjectID, RequestID: a.Receipt.RequestID},
		Attempts:  a.Number, At: time.Now().UTC(), LatencyMS: took.Milliseconds(),
	})
	if err != nil {
		return
	}
	r := &kgo.Record{Topic: topics.Receipts, Key: record.ReceiptKey(w.cfg.Sink, t.env.Event.ID), Value: value}
	w.deps.Receipts.TryProduce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			w.meters.receiptErrors.Inc()
		}
	})
}
