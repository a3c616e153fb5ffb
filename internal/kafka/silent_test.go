//go:build synctests

package kafka

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/kafka/kafkatest"
	"holdfast.internal/producers"
)

// TestPublishObeysItsContextWithASilentBroker: franz-go itself goes on waiting
// for an idempotent write that is in flight; the caller is told in time, of
// every record, and once the broker speaks again nothing is lost or doubled.
func TestPublishObeysItsContextWithASilentBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var vn kfake.VirtualNetwork
		c := cluster(t, kfake.Ports(9092), kfake.ListenFn(vn.Listen))
		w := kafkatest.NewWire(vn.DialContext)
		cl := client(t, c, kgo.Dialer(w.Connect), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(10))
		publish := func(limit time.Duration, n int) ([]error, time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			records := make([]producers.Record, n)
			for i := range records {
				records[i] = producers.Record{Topic: topic, Value: []byte("v")}
			}
			began := time.Now()
			return NewPublisher(cl).Publish(ctx, records), time.Since(began)
		}
		if errs, _ := publish(time.Minute, 1); errs[0] != nil {
			t.Fatal(errs)
		}
		w.Silence(true)
		for _, n := range []int{3, 20} { // fewer and more than the client holds
			errs, took := publish(2*time.Second, n)
			for i, err := range errs {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("record %d of %d: %v", i, n, err)
				}
			}
			if took != 2*time.Second || len(errs) != n {
				t.Errorf("%d records: %d errors after %s, want 2s", n, len(errs), took)
			}
		}
		w.Silence(false)
		if errs, took := publish(2*time.Minute, 1); errs[0] != nil {
			t.Errorf("once it speaks again: %v after %s", errs[0], took)
		}
		w.Silence(true) // and closing does not hang on it either
		_, _ = publish(time.Second, 1)
		began := time.Now()
		cl.Close()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("closing took %s", took)
		}
	})
}
