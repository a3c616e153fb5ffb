//go:build synctests

package delivery

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// TestP1P8OversizeMoves: a record that its producer compressed below what its
// topics take, though it is larger, goes through the tiers whole; one that fits
// nowhere becomes a pointer. Both leave others alone.
func TestP1P8OversizeMoves(t *testing.T) {
	t.Parallel()
	failing := func(_ *sinks.Attempt, nth int) error {
		if nth == 1 {
			return conflict()
		}
		return nil
	}
	inWorld(t, Config{Concurrency: 1}, failing, func(w *world) {
		large := "4000000"
		if _, err := kadm.NewClient(w.client).AlterTopicConfigs(w.t.Context(),
			[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &large}}, source); err != nil {
			t.Fatal(err)
		}
		producer, err := kgo.NewClient(append(w.opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(8<<20))...)
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		chacha := rand.NewChaCha8([32]byte{1})
		noise := make([]byte, 2_500_000)
		_, _ = chacha.Read(noise)
		noise[0] = 0
		for id, body := range map[string][]byte{"fits": append([]byte{0}, bytes.Repeat([]byte("x"), 3_000_000)...), "hopeless": noise, "small": {0}} {
			if err := producer.ProduceSync(w.t.Context(), &kgo.Record{
				Topic: source, Key: []byte(id), Value: body, Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}},
			}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		stop := w.worker()
		pass(10 * time.Minute)
		stop()
		if !w.isDelivered("fits") || !w.isDelivered("small") || w.isDelivered("hopeless") {
			t.Errorf("delivered: fits %t, small %t, hopeless %t", w.isDelivered("fits"), w.isDelivered("small"), w.isDelivered("hopeless"))
		}
		for _, r := range w.read(topics.Retry("s", time.Minute)) {
			if id := record.Read(r, record.FromHoldfast).Event.ID; id == "fits" && len(r.Value) != 3_000_001 {
				t.Errorf("%s lies in its tier with %d bytes", id, len(r.Value))
			}
		}
		letters := w.read(topics.DeadLetters("s"))
		if len(letters) != 1 || len(letters[0].Value) != 0 || record.Read(letters[0], record.FromHoldfast).Failure.Code != "too_large" {
			t.Errorf("%d dead letters", len(letters))
		}
	})
}

// TestP1ProgressIsBounded: what a sink wants kept of its steps lies in a header,
// and a vendor makes the ids that it is made of.
func TestP1ProgressIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ bytes, kept int }{
		"what fits is kept":      {record.MaxProgress, record.MaxProgress},
		"what is longer is lost": {1 << 20, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			met := -1
			inWorld(t, Config{}, func(a *sinks.Attempt, nth int) error {
				if nth == 1 {
					a.Progress = bytes.Repeat([]byte("x"), c.bytes)
					return conflict()
				}
				met = len(a.Progress)
				return nil
			}, func(w *world) {
				w.produce(1)
				stop := w.worker()
				pass(5 * time.Minute)
				stop()
				if met != c.kept || w.delivered() != 1 {
					w.t.Errorf("%d bytes of progress came back, want %d; %d delivered", met, c.kept, w.delivered())
				}
			})
		})
	}
}
