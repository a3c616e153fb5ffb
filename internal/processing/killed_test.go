package processing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/processors"
)

// envWorker makes this test's binary be a worker: brokers, name, in, out.
const envWorker = "HOLDFAST_TEST_PROCESSOR"

// beWorker is a worker process that runs until it is killed.
func beWorker() bool {
	spec := strings.Fields(os.Getenv(envWorker))
	if len(spec) != 4 {
		return false
	}
	log, err := zap.NewProduction(zap.IncreaseLevel(zap.ErrorLevel))
	if err == nil {
		err = work(spec, log)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func work(spec []string, log *zap.Logger) error {
	opts, err := kafka.Options(kafka.Config{Brokers: strings.Split(spec[0], ",")})
	if err != nil {
		return err
	}
	r, err := New(Config{Name: spec[1], In: spec[2], Out: spec[3], Instance: "w1"}, Deps{
		Processor: processors.Func(upper), Serde: plain{}, Kafka: opts, Log: log,
		Metrics: NewMetrics(prometheus.NewRegistry(), kafka.ConsumedCounter(prometheus.NewRegistry())),
	}, "")
	if err != nil {
		return err
	}
	return r.Run(context.Background())
}

// real is a world on the Kafka that HOLDFAST_TEST_KAFKA names, with topics of
// its own.
func real(t *testing.T, partitions int32) (w *world, cfg Config) {
	t.Helper()
	brokers := os.Getenv("HOLDFAST_TEST_KAFKA")
	if brokers == "" {
		t.Skip("SKIPPED on real Kafka: HOLDFAST_TEST_KAFKA names no brokers")
	}
	name := "p" + strconv.FormatInt(time.Now().UnixNano(), 36)
	cfg = Config{Name: name, In: "test." + name + ".in", Out: "test." + name + ".out", Instance: "w1"}
	w = &world{t: t, log: zap.NewNop()}
	w.connect(strings.Split(brokers, ","))
	admin := kadm.NewClient(w.client)
	all := []string{cfg.In, cfg.Out, "redrive." + name, "dlq." + name}
	if _, err := admin.CreateTopics(t.Context(), partitions, -1, nil, all...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.DeleteTopics(context.Background(), all...) })
	return w, cfg
}

// fill produces n events, spread over the partitions.
func (w *world) fill(topic string, partitions int32, inputs [][]byte) {
	for i, v := range inputs {
		w.client.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: int32(i) % partitions, Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				w.t.Error(err)
			}
		})
	}
	if err := w.client.Flush(context.Background()); err != nil {
		w.t.Error(err)
	}
}

// TestKilled (P1, P2): a worker process is killed with SIGKILL five times, at
// any moment, on real Kafka; every event is there once, and the last start
// takes no time to go on.
func TestKilled(t *testing.T) {
	t.Parallel()
	const partitions, events, kills = 6, 400_000, 5
	w, cfg := real(t, partitions)
	inputs, want := numbered(events)
	w.fill(cfg.In, partitions, inputs) // enough that every kill meets a worker in the middle of its work
	for range kills {
		p := w.worker(cfg)
		pass(150*time.Millisecond + rand.N(250*time.Millisecond))
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	before := len(w.all(cfg.Out))
	began := time.Now()
	last := w.worker(cfg)
	defer func() {
		_ = last.Process.Kill()
		_ = last.Wait()
	}()
	w.read(cfg.Out, before+1, 30*time.Second)
	t.Logf("%d of %d made over %d kills; the next one %s after the last start", before, events, kills, time.Since(began).Round(time.Millisecond))
	if before == 0 || before == events {
		t.Error("the kills met no work: this proves nothing")
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("went on after %s: the killed worker's transaction held it up", took)
	}
	w.read(cfg.Out, events, 60*time.Second)
	once(t, w.all(cfg.Out), want)
}

func (w *world) worker(cfg Config) *exec.Cmd {
	w.t.Helper()
	p := exec.CommandContext(context.Background(), os.Args[0]) //nolint:gosec // this test's own binary
	p.Env = append(os.Environ(), envWorker+"="+strings.Join([]string{os.Getenv("HOLDFAST_TEST_KAFKA"), cfg.Name, cfg.In, cfg.Out}, " "))
	p.Stderr = os.Stderr
	if err := p.Start(); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// TestThroughput works off a backlog on real Kafka.
func TestThroughput(t *testing.T) {
	t.Parallel()
	const partitions, events = 12, 300_000
	w, cfg := real(t, partitions)
	inputs, _ := numbered(events)
	w.fill(cfg.In, partitions, inputs)
	reg := prometheus.NewRegistry()
	r, err := New(cfg, Deps{
		Processor: processors.Func(upper), Serde: plain{}, Kafka: w.opts, Log: w.log, Metrics: NewMetrics(reg, kafka.ConsumedCounter(reg)),
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	w.start(r)
	<-r.Ready()
	began := time.Now()
	w.read(cfg.Out, events, 60*time.Second)
	t.Logf("%.0f records/s, read by a consumer beside it", events/time.Since(began).Seconds())
}
