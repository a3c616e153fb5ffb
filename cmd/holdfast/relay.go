package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.internal"
	"holdfast.internal/internal/config"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
	"holdfast.internal/producers"
	"holdfast.internal/producers/outbox"
	"holdfast.internal/schemas"
)

func (a *app) addOutbox(c config.Outbox, counters *kafka.Counters) error {
	box, err := openOutbox(c)
	if err != nil {
		return err
	}
	a.close = append(a.close, func() { _ = box.Close() })
	pending := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_outbox_pending_rows", Help: "Rows that wait for the relay; 0 on replicas whose relay waits for another's: sum over replicas.",
	})
	oldest := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_outbox_oldest_pending_timestamp_seconds", Help: "When the oldest waiting row was written, 0 for none: take the max over replicas.",
	})
	a.metrics.MustRegister(pending, oldest)
	relay := outbox.NewRelay(box, newCountedEncoder(a.conn.serde, counters.Violations, c), kafka.NewPublisher(a.conn.client), a.log, func(s outbox.Status) {
		pending.Set(float64(s.Pending))
		oldest.Set(0)
		if s.OldestPending != nil {
			oldest.Set(float64(s.OldestPending.Unix()))
		}
	})
	a.runners = append(a.runners, runner{name: "outbox", run: relay.Run})
	return nil
}

func openOutbox(c config.Outbox) (*outbox.Outbox, error) {
	return outbox.Open(outbox.Config{DSN: c.DSN, Table: c.Table, Topics: c.Topics, Keep: c.Keep})
}

// countedEncoder counts the rows that do not fit the schema of their topic.
type countedEncoder struct {
	producers.Encoder
	violations *prometheus.CounterVec
}

func newCountedEncoder(inner producers.Encoder, violations *prometheus.CounterVec, c config.Outbox) *countedEncoder {
	e := &countedEncoder{inner, violations}
	for _, topic := range c.Topics {
		e.of(topic)
	}
	return e
}

func (e *countedEncoder) of(topic string) prometheus.Counter {
	return e.violations.WithLabelValues(topics.Subject(topic), "produce")
}

// EncodeJSON counts what is refused for good. A topic without a schema is the
// row's own word, so it must not become a label.
func (e *countedEncoder) EncodeJSON(ctx context.Context, topic string, text []byte) ([]byte, error) {
	wire, err := e.Encoder.EncodeJSON(ctx, topic, text)
	if verdict, _ := holdfast.Judge(err); verdict == holdfast.VerdictPermanent {
		if _, known := schemas.TopicNamed(topic); known {
			e.of(topic).Inc()
		}
	}
	return wire, err
}
