package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

var errContender = errors.New("no such contender")

// giveUp ends a contender that does not get through its warm-up.
const giveUp = time.Minute

// compete is a contender's process: it delivers until its measurement is done
// and prints its figures.
func compete(ctx context.Context, name, text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	deliver, ok := map[string]func(context.Context, job, *meter) error{
		raw: deliverRaw, lanes: deliverLanes, serial: deliverSerial, engine: deliverEngine,
	}[name]
	if !ok {
		return fmt.Errorf("%q: %w", name, errContender)
	}
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	stopProfile, err := profile(j.Profile)
	if err != nil {
		return err
	}
	m := newMeter(j.Warm, j.Records)
	failed := make(chan error, 1)
	go func() { failed <- deliver(ctx, j, m) }()
	f, err := m.result(ctx)
	cancel()
	if err := errors.Join(err, <-failed, stopProfile()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// poster posts as a plain client does, over kept connections, the request that
// the engine's sink makes of a record, so that all contenders ask the same of
// network and vendor.
type poster struct {
	client *http.Client
	url    string
}

func newPoster(j job) *poster {
	return &poster{url: j.Vendor, client: &http.Client{
		Timeout:   15 * time.Second,
		Transport: &http.Transport{MaxConnsPerHost: j.InFlight, MaxIdleConnsPerHost: j.InFlight, DisableCompression: true},
	}}
}

var errAnswer = errors.New("the vendor did not answer 200")

func (p *poster) post(ctx context.Context, id, key string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "bench")
	req.Header.Set("Idempotency-Key", id)
	req.Header.Set("Holdfast-Event-Id", id)
	req.Header.Set("Holdfast-Key", key)
	req.Header.Set("Holdfast-Attempt", "1")
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errAnswer
	}
	return nil
}

// deliverRaw is the ceiling: no Kafka, no order, the same requests.
func deliverRaw(ctx context.Context, j job, m *meter) error {
	p := newPoster(j)
	var wg sync.WaitGroup
	for n := range j.InFlight {
		wg.Go(func() {
			text := body(n, "cus_0001")
			for i := 0; p.post(ctx, strconv.Itoa(n)+"-"+strconv.Itoa(i), "cus_0001", text) == nil; i++ {
				m.tick()
			}
		})
	}
	wg.Wait()
	return nil
}

// consumer is a group member as the engine's, without what the engine adds.
func consumer(j job) (*kgo.Client, error) {
	opts, err := kafka.Options(kafka.Config{Brokers: j.Brokers})
	if err != nil {
		return nil, err
	}
	opts = append(opts, kafka.Member(topics.Group(j.Sink), "", kgo.RangeBalancer())...)
	return kgo.NewClient(append(opts, kgo.ConsumeTopics(j.Source), kgo.BlockRebalanceOnPoll())...)
}
