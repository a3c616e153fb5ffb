// Package e2e runs the binary as its users do, on real services, and breaks it.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"holdfast.internal/internal/example"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/producers/outbox"
)

// bench is a binary, a configuration and a vendor.
type bench struct {
	t      *testing.T
	binary string
	config string
	dir    string
	vendor *vendorsim.Server
	box    *outbox.Outbox
	rows   *sql.DB // where the table sink writes
}

func newBench(t *testing.T) *bench {
	t.Helper()
	kafka, registry, postgres := os.Getenv("HOLDFAST_TEST_KAFKA"), os.Getenv("HOLDFAST_TEST_REGISTRY"), os.Getenv("HOLDFAST_TEST_POSTGRES")
	if kafka == "" || registry == "" || postgres == "" {
		t.Skip("no real services: `make test` starts them where a JDK and Maven are")
	}
	b := &bench{t: t, dir: t.TempDir()}
	b.binary = build(t)
	vendor, err := vendorsim.Start(vendorsim.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vendor.Close)
	b.vendor = vendor
	brokers := `"` + strings.ReplaceAll(kafka, ",", `", "`) + `"`
	text := fmt.Sprintf(`version: 1
kafka: {brokers: [%s]}
schema_registry: {url: "%s"}
processors:
  - {name: invoice-command, in: crm.invoice.v1, out: billing.invoice-command.v1}
  - {name: shipment-table, in: inventory.shipment.v1, out: warehouse.shipment.v1}
sinks:
  - {name: stripe-invoices, kind: stripe, in: billing.invoice-command.v1, base_url: "%s", auth: {api_key: sk_test_e2e}, limits: {concurrency: 32}, timeout: 2s, retry: {tiers: [1s, 2s, 4s]}}
  - {name: shipments, kind: table, in: warehouse.shipment.v1, dsn: "%s", table: shipments, key: [shipment_id], version: version, create: true, retry: {tiers: [1s, 2s, 4s]}}
outbox: {kind: postgres, dsn: "%s", topics: {invoice: crm.invoice.v1, shipment: inventory.shipment.v1}, keep: 1h}
http: {listen: "127.0.0.1:0"}
egress: {allow_http: true, allow_cidrs: [127.0.0.0/8]}
`, brokers, registry, vendor.URL(), postgres, postgres)
	b.config = filepath.Join(b.dir, "holdfast.yaml")
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.must("validate", b.config)
	b.must("schema", "register", "--config", b.config)
	b.must("topic", "apply", "--config", b.config, "--yes", "--partitions", "6")
	b.must("outbox", "init", "--config", b.config)
	if b.box, err = outbox.Open(outbox.Config{DSN: dsn(postgres)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.box.Close() })
	b.rows = b.box.DB()
	return b
}

// build compiles the binary that the tests run.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "holdfast")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "holdfast.internal/cmd/holdfast").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// must runs a command of the binary and returns its stdout.
func (b *bench) must(args ...string) string {
	b.t.Helper()
	out, code := b.run(nil, args...)
	if code != 0 {
		b.t.Fatalf("holdfast %v: exit %d", args, code)
	}
	return out
}

func (b *bench) run(stdin []byte, args ...string) (string, int) {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), b.binary, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if errs.Len() > 0 {
		b.t.Logf("holdfast %v: %s", args, errs.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// start runs a role in the background.
func (b *bench) start(role string) *exec.Cmd {
	b.t.Helper()
	ready := filepath.Join(b.dir, role+".ready")
	_ = os.Remove(ready)
	log, err := os.OpenFile(filepath.Join(b.dir, role+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(b.binary, "run", "--config", b.config, "--role", role, "--instance", role+"-0", "--ready-file", ready)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	_ = log.Close()
	b.until(30*time.Second, role+" is ready", func() bool { _, err := os.Stat(ready); return err == nil })
	return cmd
}

// until polls a condition.
func (b *bench) until(limit time.Duration, what string, done func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			b.t.Fatalf("after %s: not %s", limit, what)
		}
		<-tick.C
	}
}

func (b *bench) post(path, body string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.vendor.URL()+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	client := &http.Client{}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s", path, resp.Status)
	}
}

// applied returns the invoices that the vendor holds, by business key.
func (b *bench) applied() map[string]vendorsim.Applied {
	b.t.Helper()
	resp, err := http.Get(b.vendor.URL() + "/_sim/applied") //nolint:forbidigo // the test's own vendor
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	held := map[string]vendorsim.Applied{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a vendorsim.Applied
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			b.t.Fatal(err)
		}
		if a.Object == "invoice" {
			held[a.BusinessKey] = a
		}
	}
	return held
}

// insert writes n events of a topic into the outbox, in transactions of 50,
// and returns the event ids.
func (b *bench) insert(aggregate, topic string, n int, seed uint64) []string {
	b.t.Helper()
	lines, err := example.Lines(topic, n, seed)
	if err != nil {
		b.t.Fatal(err)
	}
	var ids []string
	for len(lines) > 0 {
		batch := lines[:min(50, len(lines))]
		lines = lines[len(batch):]
		tx, err := b.rows.BeginTx(b.t.Context(), nil)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, l := range batch {
			payload, err := json.Marshal(l.Value)
			if err != nil {
				b.t.Fatal(err)
			}
			id := fmt.Sprintf("00000000-0000-4000-8000-%04x%08x", seed, len(ids))
			if err := outbox.Insert(b.t.Context(), tx, outbox.Event{ID: id, AggregateType: aggregate, AggregateID: l.Key, Type: "t", Payload: payload}); err != nil {
				b.t.Fatal(err)
			}
			ids = append(ids, "holdfast/outbox/outbox/"+id)
		}
		if err := tx.Commit(); err != nil {
			b.t.Fatal(err)
		}
	}
	return ids
}

func TestP1P2KillsAndAFailingVendorOnRealKafka(t *testing.T) { //nolint:paralleltest // owns the topics
	b := newBench(t)
	events := 1000
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_E2E_EVENTS")); err == nil {
		events = n
	}
	seed := uint64(time.Now().UnixNano()) & 0xffff
	b.post("/_sim/faults", `{"kinds":["429","500","503","reset","applied_then_reset","hang"],"rate":0.2,"max_per_event":3}`)
	roles := map[string]*exec.Cmd{}
	for _, role := range []string{"outbox", "processor", "sink"} {
		roles[role] = b.start(role)
	}
	began := time.Now()
	want := b.insert("invoice", example.Invoices, events, seed)
	b.insert("shipment", example.Shipments, events/4, seed+1)
	for _, role := range []string{"outbox", "processor", "sink", "sink", "processor"} {
		wait := time.NewTimer(2 * time.Second)
		<-wait.C
		_ = roles[role].Process.Kill()
		_ = roles[role].Wait()
		restarted := time.Now()
		roles[role] = b.start(role)
		t.Logf("%s killed with SIGKILL, ready again %d ms after its start", role, time.Since(restarted).Milliseconds())
	}
	b.until(2*time.Minute+time.Duration(events)*50*time.Millisecond, "every invoice applied", func() bool {
		held := b.applied()
		for _, id := range want {
			if held[id].Applies == 0 {
				return false
			}
		}
		return true
	})
	took := time.Since(began)
	requests, twice := 0, 0
	held := b.applied()
	for _, id := range want {
		requests += held[id].Requests
		if held[id].Applies != 1 {
			twice++
		}
	}
	t.Logf("%d invoices applied in %s with %d requests; applied twice: %d", len(want), took.Round(time.Second), requests, twice)
	if twice > 0 {
		t.Errorf("%d invoices were applied more than once", twice)
	}
	var rows int
	b.until(time.Minute, "every shipment in the table", func() bool {
		var want int
		err := b.rows.QueryRowContext(t.Context(), `SELECT count(DISTINCT aggregateid) FROM outbox WHERE aggregatetype = 'shipment'`).Scan(&want)
		return err == nil && b.rows.QueryRowContext(t.Context(), `SELECT count(*) FROM shipments`).Scan(&rows) == nil && rows == want
	})
	t.Logf("%d shipments in the table", rows)
	for role, cmd := range roles {
		stopped := time.Now()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		if d := time.Since(stopped); d > 25*time.Second {
			t.Errorf("%s took %s to stop", role, d)
		}
	}
}
