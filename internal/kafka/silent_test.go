//go:build synctests

package kafka

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/producers"
)

// wire is a network on which the broker falls silent: it takes what is
// written and answers nothing, as behind a firewall that drops.
type wire struct {
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	silent atomic.Bool
}

func (w *wire) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := w.dial(ctx, network, addr)
	return &end{conn, w}, err
}

type end struct {
	net.Conn
	wire *wire
}

func (e *end) Write(b []byte) (int, error) {
	if e.wire.silent.Load() {
		return len(b), nil
	}
	return e.Conn.Write(b)
}

// TestPublishObeysItsContextWithASilentBroker: franz-go itself goes on waiting
// for an idempotent write that is in flight; the caller is told in time, of
// every record, and once the broker speaks again nothing is lost or doubled.
func TestPublishObeysItsContextWithASilentBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var vn kfake.VirtualNetwork
		c := cluster(t, kfake.Ports(9092), kfake.ListenFn(vn.Listen))
		w := &wire{dial: vn.DialContext}
		cl := client(t, c, kgo.Dialer(w.connect), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(10))
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
		w.silent.Store(true)
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
		w.silent.Store(false)
		if errs, took := publish(2*time.Minute, 1); errs[0] != nil {
			t.Errorf("once it speaks again: %v after %s", errs[0], took)
		}
		w.silent.Store(true) // and closing does not hang on it either
		_, _ = publish(time.Second, 1)
		began := time.Now()
		cl.Close()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("closing took %s", took)
		}
	})
}
