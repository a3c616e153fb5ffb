package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/producers"
)

// Publisher writes records for producers through one idempotent client.
type Publisher struct{ client *kgo.Client }

var _ producers.Publisher = Publisher{}

// NewPublisher publishes through client.
func NewPublisher(client *kgo.Client) Publisher { return Publisher{client: client} }

// Publish writes records and waits until all replicas have them.
//
// franz-go fails the records buffered behind a failed one of their partition,
// so no later record of a key is written after an error. ctx is obeyed even
// while a silent broker holds an idempotent write: the caller is told ctx's
// error, although the broker may still take the record.
func (p Publisher) Publish(ctx context.Context, records []producers.Record) []error {
	var mu sync.Mutex
	errs := make([]error, len(records))
	pending := make([]bool, len(records))
	var wg sync.WaitGroup
	for i, r := range records {
		pending[i] = true
		wg.Add(1)
		p.client.Produce(ctx, toKafka(r), func(_ *kgo.Record, err error) {
			mu.Lock()
			errs[i], pending[i] = err, false
			mu.Unlock()
			wg.Done()
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return errs
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	told := make([]error, len(records))
	for i := range told {
		told[i] = errs[i]
		if pending[i] {
			told[i] = ctx.Err()
		}
	}
	return told
}

func toKafka(r producers.Record) *kgo.Record {
	out := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.Time}
	out.Headers = make([]kgo.RecordHeader, len(r.Headers))
	for i, h := range r.Headers {
		out.Headers[i] = kgo.RecordHeader{Key: h.Name, Value: h.Value}
	}
	return out
}
