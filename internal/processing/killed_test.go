package processing

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
	"holdfast.internal/processors"
)

// envWorker makes this test's binary be a worker: brokers, name, in, out, and
// after how many records it says so and how many later it stops, 0 for never.
const envWorker = "HOLDFAST_TEST_PROCESSOR"

// beWorker is a worker process that runs until it is killed.
func beWorker() bool {
	spec := strings.Fields(os.Getenv(envWorker))
	if len(spec) != 6 {
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
	says, err := strconv.ParseInt(spec[4], 10, 64)
	if err != nil {
		return err
	}
	stops, err := strconv.ParseInt(spec[5], 10, 64)
	if err != nil {
		return err
	}
	r, err := New(Config{Name: spec[1], In: spec[2], Out: spec[3], Instance: "w1"}, Deps{
		Processor: haltingAfter(says, stops, os.Stdout), Serde: plain{}, Kafka: opts, Log: log,
		Metrics: NewMetrics(prometheus.NewRegistry(), kafka.NewCounters(prometheus.NewRegistry())),
	}, "")
	if err != nil {
		return err
	}
	return r.Run(context.Background())
}

// haltingAfter is upper that writes a byte when it has had so many records, and
// stops the whole process once it has had as many more as stops: whoever reads
// the byte and then kills it, however late, kills it in the middle of its work.
func haltingAfter(says, stops int64, to io.Writer) processors.Func {
	var had atomic.Int64
	return func(ctx context.Context, ev holdfast.Event) ([]processors.Output, error) {
		switch n := had.Add(1); {
		case says > 0 && n == says:
			_, _ = to.Write([]byte{'.'})
		case says > 0 && n > says+stops:
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		}
		return upper(ctx, ev)
	}
}

// realWorld is a world on the Kafka that HOLDFAST_TEST_KAFKA names, with topics of
// its own.
func realWorld(t *testing.T, partitions int32) (w *world, cfg Config) {
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
	made := make([]topics.Change, len(all))
	for i, topic := range all {
		made[i] = topics.Change{Action: topics.Create, Topic: topic, Partitions: partitions}
	}
	if err := topics.Apply(t.Context(), w.client, made); err != nil {
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

// TestKilled (P1, P2): a worker process is killed with SIGKILL five times in
// the middle of its work, on real Kafka; every event is there once, and the
// last start takes no time to go on.
func TestKilled(t *testing.T) {
	t.Parallel()
	const partitions, events, kills = 6, 100_000, 5
	w, cfg := realWorld(t, partitions)
	inputs, want := numbered(events)
	w.fill(cfg.In, partitions, inputs)
	for range kills {
		// Before, at and behind the end of a transaction, which is at most of 5,000.
		p, said := w.worker(cfg, 1+rand.N(12_000), rand.N(3_000))
		if _, err := said.Read(make([]byte, 1)); err != nil {
			t.Fatalf("a worker ended by itself: %v", err)
		}
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	before := len(w.all(cfg.Out))
	began := time.Now()
	last, _ := w.worker(cfg, 0, 0)
	defer func() {
		_ = last.Process.Kill()
		_ = last.Wait()
	}()
	w.read(cfg.Out, before+1, 30*time.Second)
	t.Logf("%d of %d made over %d kills; the next one %s after the last start", before, events, kills, time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("went on after %s: the killed worker's transaction held it up", took)
	}
	w.read(cfg.Out, events, 2*time.Minute)
	once(t, w.all(cfg.Out), want)
}

// worker starts a worker process; what it says comes on the reader.
func (w *world) worker(cfg Config, says, stops int) (*exec.Cmd, io.Reader) {
	w.t.Helper()
	p := exec.CommandContext(context.Background(), os.Args[0])
	spec := []string{os.Getenv("HOLDFAST_TEST_KAFKA"), cfg.Name, cfg.In, cfg.Out, strconv.Itoa(says), strconv.Itoa(stops)}
	p.Env = append(os.Environ(), envWorker+"="+strings.Join(spec, " "))
	p.Stderr = os.Stderr
	said, err := p.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		w.t.Fatal(err)
	}
	return p, said
}

// TestThroughput works off a backlog on real Kafka.
func TestThroughput(t *testing.T) {
	t.Parallel()
	const partitions, events = 12, 300_000
	w, cfg := realWorld(t, partitions)
	inputs, _ := numbered(events)
	w.fill(cfg.In, partitions, inputs)
	reg := prometheus.NewRegistry()
	r, err := New(cfg, Deps{
		Processor: processors.Func(upper), Serde: plain{}, Kafka: w.opts, Log: w.log, Metrics: NewMetrics(reg, kafka.NewCounters(reg)),
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	w.start(r)
	<-r.Ready()
	began := time.Now()
	w.read(cfg.Out, events, 5*time.Minute)
	t.Logf("%.0f records/s, read by a consumer beside it", events/time.Since(began).Seconds())
}
