package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/delivery"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/quota"
	"holdfast.internal/sinks"
	"holdfast.internal/sinks/http"
)

// unlimited is a rate that is accounted for and never reached.
const unlimited = 1_000_000

// deliverEngine is holdfast's engine with the http sink and everything on:
// order, tiers, a rate limit, metrics.
func deliverEngine(ctx context.Context, j job, m *meter) error {
	inner, err := httpSink(j)
	if err != nil {
		return err
	}
	w, err := newEngine(j, sinks.Func(func(ctx context.Context, a *sinks.Attempt) error {
		err := inner.Deliver(ctx, a)
		if err == nil {
			m.tick()
		}
		return err
	}))
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

func httpSink(j job) (sinks.Sink, error) {
	loopback := sinks.Egress{AllowHTTP: true, AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	return http.New(http.Config{URL: j.Vendor}, sinks.Deps{
		Name: j.Sink, Concurrency: j.InFlight,
		HTTP: sinks.NewClient(loopback, sinks.ClientOptions{Concurrency: j.InFlight}),
	})
}

func newEngine(j job, sink sinks.Sink, more ...kgo.Opt) (*delivery.Worker, error) {
	opts, err := kafka.Options(kafka.Config{Brokers: j.Brokers})
	if err != nil {
		return nil, err
	}
	delivery.PaceCollector(1) // as every process that runs workers does
	metrics := prometheus.NewRegistry()
	return delivery.New(delivery.Config{
		Sink: j.Sink, Source: j.Source, Tiers: tiers(), Ordered: j.Ordered, Concurrency: j.InFlight,
		Timeout: 15 * time.Second,
	}, delivery.Deps{
		Limit: quota.Local(quota.Limit{Name: j.Sink, Rate: unlimited, Burst: unlimited}),
		Sink:  sink, Open: open, Kafka: append(opts, more...), Log: zap.NewNop(),
		Metrics: delivery.NewMetrics(metrics, kafka.NewCounters(metrics)),
	})
}

// open leaves the value as it is: what is compared is delivery, not Avro.
func open(_ context.Context, _ string, wire []byte, _ []holdfast.Header) (holdfast.Value, error) {
	return plain(wire), nil
}

// plain is a value that is JSON already.
type plain []byte

// Schema names no record.
func (plain) Schema() string { return "bench.Record" }

// Decode decodes nothing: the http sink asks for JSON alone.
func (plain) Decode(any) error { return nil }

// Fields has none.
func (plain) Fields() (map[string]any, error) { return map[string]any{}, nil }

// JSON is the value.
func (p plain) JSON() ([]byte, error) { return p, nil }
