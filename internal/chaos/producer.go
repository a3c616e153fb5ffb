package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/example"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/registry"
)

// eventSource is the events' ce_source.
const eventSource = "chaos"

// producer writes invoices that carry their place in the order of their key.
type producer struct {
	opts   []kgo.Opt // how to reach the brokers
	client *kgo.Client
	serde  *registry.Serde
	o      options
	random *rand.Rand
	make   *example.Generator
	seqs   []int // by key

	mu   sync.Mutex
	sent []string // ids that the brokers acknowledged
	errs []error
}

func newProducer(o options, s *services) (*producer, error) {
	opts, err := kafka.Options(kafka.Config{Brokers: s.kafka})
	if err != nil {
		return nil, err
	}
	// Brokers that have just come back know of no topic for a while.
	client, err := kgo.NewClient(append(opts, kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		return nil, err
	}
	sr, err := registry.NewClient(registry.Config{URL: s.registry})
	if err != nil {
		client.Close()
		return nil, err
	}
	return &producer{
		opts: opts, client: client, serde: registry.NewSerde(sr), o: o, random: rand.New(rand.NewPCG(o.seed, 1)), //nolint:gosec // events, not keys
		make: example.New(o.seed), seqs: make([]int, o.keys),
	}, nil
}

// clear deletes what an earlier run left in the topic.
func (p *producer) clear(ctx context.Context) error {
	admin := kadm.NewClient(p.client)
	_, err := admin.DeleteTopic(ctx, topic)
	for err == nil {
		if !pause(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
		var all kadm.TopicDetails
		if all, err = admin.ListTopics(ctx, topic); err == nil && !all.Has(topic) {
			return nil
		}
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	return fmt.Errorf("delete topic %s: %w", topic, err)
}

// run writes at the configured rate until ctx ends, then waits for what is not
// acknowledged yet.
func (p *producer) run(ctx context.Context) error {
	const tick = 20 * time.Millisecond
	began, n := time.Now(), 0
	for pause(ctx, tick) {
		for due := int(time.Since(began).Seconds() * float64(p.o.rate)); n < due; n++ {
			if err := p.send(ctx); err != nil {
				return err
			}
		}
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err := p.client.Flush(flush)
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(append(p.errs, err)...)
}

func (p *producer) send(ctx context.Context) error {
	k := p.random.IntN(len(p.seqs))
	key := fmt.Sprintf("cus_%04d", k)
	line := p.make.Invoice()
	id := fmt.Sprintf("%x_%s_%06d", p.o.seed, key, p.seqs[k])
	line.Value["id"] = id
	line.Value["metadata"] = map[string]any{"seq": strconv.Itoa(p.seqs[k])}
	p.seqs[k]++
	text, err := json.Marshal(line.Value)
	if err != nil {
		return err
	}
	wire, err := p.serde.EncodeJSON(context.WithoutCancel(ctx), topic, text)
	if err != nil {
		return err
	}
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: wire, Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_source", Value: []byte(eventSource)},
		{Key: "ce_id", Value: []byte(id)},
		{Key: "ce_type", Value: []byte("crm.invoice.issued")},
	}}
	p.client.Produce(context.WithoutCancel(ctx), r, func(_ *kgo.Record, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("produce: %w", err))
			return
		}
		p.sent = append(p.sent, id)
	})
	return nil
}

// acknowledged are the ids of the events that must arrive.
func (p *producer) acknowledged() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}
