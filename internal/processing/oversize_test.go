package processing

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/record"
	"holdfast.internal/processors"
)

// TestP8OversizeLetters: inputs that are larger than the dead-letter topic seems
// to take die whole where they fit compressed, many at once too, and without
// their value where they do not; nobody waits behind them.
func TestP8OversizeLetters(t *testing.T) {
	t.Parallel()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1, nil)
		oversizeLetters(t, w, Config{Name: "p", In: in, Out: out, Instance: "a"})
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		if os.Getenv("HOLDFAST_TEST_KAFKA") == "" {
			t.Skip("SKIPPED on real Kafka: HOLDFAST_TEST_KAFKA names no brokers")
		}
		w, cfg := realWorld(t, 1)
		oversizeLetters(t, w, cfg)
	})
}

func oversizeLetters(t *testing.T, w *world, cfg Config) {
	t.Helper()
	set(t, w, cfg.In, "4000000")
	large := good("refuse " + strings.Repeat("x", 1_300_000))
	hopeless := good("refuse " + string(noise(2_500_000)))
	w.put(cfg.In, 0, good("before"), large, large, good("refuse small"), large, hopeless, good("refuse last"), good("after"))
	r, err := New(cfg, Deps{
		Processor: processors.Func(upper), Serde: plain{}, Kafka: w.opts, Log: w.log,
		Metrics: NewMetrics(prometheus.NewRegistry(), kafka.NewCounters(prometheus.NewRegistry())),
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	w.start(r)
	w.read(cfg.Out, 2, 30*time.Second)
	once(t, w.all(cfg.Out), []string{"BEFORE", "AFTER"})
	letters := w.read("dlq."+cfg.Name, 6, 30*time.Second)
	if len(letters) != 6 {
		t.Fatalf("%d dead letters", len(letters))
	}
	for i, want := range []string{string(large), string(large), string(good("refuse small")), string(large), "", string(good("refuse last"))} {
		letter := record.Read(letters[i], record.FromHoldfast)
		if string(letters[i].Value) != want {
			t.Errorf("letter %d has %d bytes, want %d", i, len(letters[i].Value), len(want))
		}
		if letter.Failure.Code != "refused" {
			t.Errorf("letter %d: %s", i, letter.Failure.Code)
		}
		if told := strings.Contains(letter.Message, "lies at "+letter.Event.Origin.String()); told != (want == "") {
			t.Errorf("letter %d says %q", i, letter.Message)
		}
	}
}
