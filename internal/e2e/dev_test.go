package e2e

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"holdfast.internal/internal/vendorsim"
)

// devProcess is a running `holdfast dev`.
type devProcess struct {
	cmd   *exec.Cmd
	ready struct {
		Kafka    []string          `json:"kafka"`
		Registry string            `json:"schema_registry"`
		Vendors  map[string]string `json:"vendors"`
	}
}

func startDev(t *testing.T, binary, data, traffic string) *devProcess {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready")
	d := &devProcess{cmd: exec.Command(binary, "dev", "--data", data, "--traffic", traffic, "--tiers", "500ms,1s,2s", "--ready-file", file)}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	b := bench{t: t}
	b.until(20*time.Second, "dev is ready", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &d.ready) == nil
	})
	return d
}

func (d *devProcess) applied(t *testing.T) map[string]int {
	t.Helper()
	resp, err := http.Get(d.ready.Vendors["stripe"] + "/_sim/applied") //nolint:forbidigo // the test's own vendor
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	held := map[string]int{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var a vendorsim.Applied
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		if a.Object == "invoice" {
			held[a.BusinessKey] = a.Applies
		}
	}
	return held
}

// TestP1DevKilledAgainAndAgain kills the whole process, embedded Kafka and all.
func TestP1DevKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	binary := build(t)
	data := t.TempDir()
	for range 3 {
		d := startDev(t, binary, data, "20")
		wait := time.NewTimer(1500 * time.Millisecond)
		<-wait.C
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
	}
	d := startDev(t, binary, data, "0")
	db, err := sql.Open("sqlite", "file:"+data+"/outbox.db?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var want []string
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM outbox WHERE aggregatetype = 'invoice'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		want = append(want, "holdfast/outbox/outbox/"+id)
	}
	if rows.Err() != nil || len(want) < 10 {
		t.Fatalf("only %d invoices were written: %v", len(want), rows.Err())
	}
	b := bench{t: t}
	b.until(time.Minute, "every invoice applied", func() bool {
		held := d.applied(t)
		for _, id := range want {
			if held[id] == 0 {
				return false
			}
		}
		return true
	})
	for id, n := range d.applied(t) {
		if n != 1 {
			t.Errorf("%s was applied %d times", id, n)
		}
	}
	t.Logf("%d invoices, each applied once, after 3 kills", len(want))
	stopped := time.Now()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	if took := time.Since(stopped); took > 25*time.Second {
		t.Errorf("took %s to stop", took)
	}
}

// TestDemoOutage runs the demo, which checks its own figures.
func TestDemoOutage(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), build(t), "demo", "outage", "--events", "60", "--for", "8s").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
