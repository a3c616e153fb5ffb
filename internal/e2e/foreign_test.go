package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/example"
	"holdfast.internal/internal/record"
)

// samples holds what the guide for producers tells people to run.
const samples = root + "/docs/guides/producers/"

// customers is how many keys the samples have, cus_0 and so on: one invoice each.
const customers = 7

// What holdfast itself writes as ce_source.
const (
	ours     = "crm" // of its examples
	outboxed = "holdfast/outbox/outbox"
)

// foreign are the guide's programs, which know only Kafka and the registry, by
// the ce_source that they write. What cannot run here is skipped aloud.
func foreign(t *testing.T, kafka, registry string) map[string]*exec.Cmd {
	t.Helper()
	programs := map[string]*exec.Cmd{}
	if java := os.Getenv("HOLDFAST_TEST_JAVA"); java != "" {
		programs["java"] = exec.CommandContext(t.Context(), java, "-cp", os.Getenv("HOLDFAST_TEST_JARS")+"/*", samples+"Produce.java", kafka, registry, strconv.Itoa(customers))
	} else {
		t.Log("SKIPPED: the producer in Java: it needs a JDK and Maven")
	}
	if python := os.Getenv("HOLDFAST_TEST_PYTHON"); python != "" {
		programs["python"] = exec.CommandContext(t.Context(), python, samples+"produce.py", kafka, registry, strconv.Itoa(customers))
	} else {
		t.Log("SKIPPED: the producer in Python: it needs confluent-kafka")
	}
	return programs
}

// byShell gives a shell of a database, if it is here, the guide's SQL for each
// customer, each in a transaction of its own, behind one that is rolled back.
func byShell(t *testing.T, shell string, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Logf("SKIPPED: the outbox by %s: it is not here", shell)
		return nil
	}
	text, err := os.ReadFile(samples + "outbox.sql")
	if err != nil {
		t.Fatal(err)
	}
	var script bytes.Buffer
	script.WriteString(strings.Replace(string(text), "COMMIT;", "ROLLBACK;", 1))
	for n := range customers {
		script.WriteString(strings.ReplaceAll(string(text), "cus_1", "cus_"+strconv.Itoa(n)))
	}
	cmd := exec.CommandContext(t.Context(), shell, args...)
	cmd.Stdin = &script
	return cmd
}

// produced gives `holdfast produce` an invoice of each customer.
func produced(t *testing.T, binary, config string) *exec.Cmd {
	t.Helper()
	lines, err := example.Lines(example.Invoices, customers, uint64(time.Now().UnixNano())&0xffffff)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for n, l := range lines {
		l.Key, l.Value["status"] = "cus_"+strconv.Itoa(n), "ISSUED"
		if err := json.NewEncoder(&text).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), binary, "produce", example.Invoices, "--config", config)
	cmd.Stdin = &text
	return cmd
}

// feed runs everything that writes invoices, by the ce_source that it writes.
// Each must lie in the topic, a key in one partition whoever wrote it (without
// which it had no order), and be applied once by the vendor.
func feed(t *testing.T, kafka string, programs map[string]*exec.Cmd, applied func() map[string]int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(kafka, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), example.Invoices)
	if err != nil {
		t.Fatal(err)
	}
	client.AddConsumePartitions(ends.KOffsets())
	want := map[string]int{}
	for source, cmd := range programs {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", source, err, out)
		}
		want[source] = customers
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	where, written, ids := map[string]int32{}, map[string]int{}, []string{}
	for !maps.Equal(written, want) {
		for _, r := range client.PollFetches(ctx).Records() {
			event := record.Read(r, record.FromProducer).Event
			source := event.Header("ce_source")
			if p, seen := where[string(r.Key)]; seen && p != r.Partition {
				t.Errorf("%s put %s into partition %d; it was in %d before", source, r.Key, r.Partition, p)
			}
			where[string(r.Key)] = r.Partition
			written[source]++
			ids = append(ids, event.ID)
		}
		if ctx.Err() != nil {
			t.Fatalf("%v were written, want %v", written, want)
		}
	}
	t.Logf("written %v, the keys in partitions %v", written, where)

	b := bench{t: t}
	b.until(time.Minute, "every invoice applied", func() bool {
		held := applied()
		return !slices.ContainsFunc(ids, func(id string) bool { return held[id] == 0 })
	})
	for id, n := range applied() {
		if n != 1 {
			t.Errorf("%s was applied %d times", id, n)
		}
	}
}

// TestForeignProducersOnRealKafka feed the flow of invoices: programs that know
// only Kafka and the registry, and a shell that knows only the database.
func TestForeignProducersOnRealKafka(t *testing.T) { //nolint:paralleltest // owns the topics
	b := newBench(t)
	for _, role := range []string{"outbox", "processor", "sink"} {
		cmd := b.start(role)
		t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	}
	kafka := os.Getenv("HOLDFAST_TEST_KAFKA")
	programs := foreign(t, kafka, os.Getenv("HOLDFAST_TEST_REGISTRY"))
	programs[ours] = produced(t, b.binary, b.config)
	if psql := byShell(t, "psql", "--quiet", os.Getenv("HOLDFAST_TEST_POSTGRES")); psql != nil {
		programs[outboxed] = psql
	}
	feed(t, kafka, programs, func() map[string]int {
		counts := map[string]int{}
		for id, a := range b.applied() {
			counts[id] = a.Applies
		}
		return counts
	})
}

// TestForeignProducersBesideDev: the same on the embedded broker, registry and
// outbox.
func TestForeignProducersBesideDev(t *testing.T) {
	t.Parallel()
	binary, data := build(t), t.TempDir()
	d := startDev(t, binary, data, "0")
	kafka := strings.Join(d.ready.Kafka, ",")
	programs := foreign(t, kafka, d.ready.Registry)
	programs[ours] = produced(t, binary, data)
	if sqlite := byShell(t, "sqlite3", "-cmd", ".timeout 5000", filepath.Join(data, "outbox.db")); sqlite != nil {
		programs[outboxed] = sqlite
	}
	feed(t, kafka, programs, func() map[string]int { return d.applied(t) })
}
