package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// topic is where the events are written. It must be one with a compiled-in schema.
const topic = "crm.invoice.v1"

// holdfast is the binary, its configuration and its workers.
type holdfast struct {
	binary  string
	dir     string
	config  string
	sink    string
	workers []*worker
}

// envWorker names the worker to its own configuration, which tells the vendor.
const envWorker = "CHAOS_WORKER"

func setUp(ctx context.Context, o options, s *services, dir, vendor string) (*holdfast, error) {
	h := &holdfast{binary: o.binary, dir: dir, config: filepath.Join(dir, "holdfast.yaml"), sink: fmt.Sprintf("chaos-%x", o.seed)}
	if h.binary == "" {
		h.binary = filepath.Join(dir, "holdfast")
		build := exec.CommandContext(ctx, "go", "build", "-o", h.binary, "./cmd/holdfast") //nolint:gosec // into our own folder
		build.Dir, build.Stderr = s.root, os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build: %w", err)
		}
	}
	if err := os.WriteFile(h.config, h.configuration(o, s, vendor), 0o600); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"validate", h.config},
		{"schema", "register", "--config", h.config},
		{"topic", "apply", "--config", h.config, "--yes"},
	} {
		if _, err := h.command(ctx, args...); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"w1", "w2", "w3"} {
		h.workers = append(h.workers, &worker{name: name, h: h})
	}
	return h, nil
}

func (h *holdfast) configuration(o options, s *services, vendor string) []byte {
	limits := fmt.Sprintf("concurrency: %d", o.concurrency)
	if o.limit > 0 {
		limits += fmt.Sprintf(", rate: %d/s, burst: %d, account: chaos", o.limit, o.burst)
	}
	return fmt.Appendf(nil, `version: 1
kafka: {brokers: ["%s"]}
schema_registry: {url: "%s"}
sinks:
  - name: %s
    kind: http
    in: %s
    url: "%s/invoices"
    headers: {%s: "${env:%s}"}
    timeout: 2s
    limits: {%s}
    retry: {tiers: [1s, 2s, 4s]}
http: {listen: "127.0.0.1:0"}
egress: {allow_http: true, allow_cidrs: [127.0.0.0/8]}
`, strings.Join(s.kafka, `", "`), s.registry, h.sink, topic, vendor, headerWorker, envWorker, limits)
}

// command runs a command of the binary to its end and returns its stdout.
func (h *holdfast) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, h.binary, args...) //nolint:gosec // the binary under test
	cmd.Env = append(os.Environ(), envWorker+"=none")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("holdfast %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.Bytes(), nil
}

// dead lists the events in the dead-letter topic.
func (h *holdfast) dead(ctx context.Context) (map[string]bool, error) {
	out, err := h.command(ctx, "dlq", "list", "--config", h.config, "--sink", h.sink, "-o", "json")
	if err != nil {
		return nil, err
	}
	var letters []struct {
		EventID string `json:"event_id"`
	}
	if err := json.Unmarshal(out, &letters); err != nil {
		return nil, fmt.Errorf("holdfast dlq list: %w", err)
	}
	dead := map[string]bool{}
	for _, l := range letters {
		dead[strings.TrimPrefix(l.EventID, eventSource+"/")] = true
	}
	return dead, nil
}

// worker is one `holdfast run` under a static name.
type worker struct {
	name string
	h    *holdfast
	cmd  *exec.Cmd
}

func (w *worker) readyFile() string { return filepath.Join(w.h.dir, w.name+".ready") }

func (w *worker) start() error {
	_ = os.Remove(w.readyFile())
	log, err := os.OpenFile(filepath.Join(w.h.dir, w.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	w.cmd = exec.Command(w.h.binary, "run", "--config", w.h.config, "--role", "sink", "--instance", w.name, "--ready-file", w.readyFile()) //nolint:gosec,noctx // ended by kill or stop
	w.cmd.Env = append(os.Environ(), envWorker+"="+w.name)
	w.cmd.Stdout, w.cmd.Stderr = log, log
	return w.cmd.Start()
}

// kill ends the worker with SIGKILL.
func (w *worker) kill() {
	if w.cmd != nil {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
		w.cmd = nil
	}
}

// freeze stops the worker in its tracks, thaw lets it go on.
func (w *worker) freeze() error { return w.cmd.Process.Signal(syscall.SIGSTOP) }
func (w *worker) thaw() error   { return w.cmd.Process.Signal(syscall.SIGCONT) }

var errSlow = errors.New("a worker did not become ready within 60 s")

// ready waits for the worker's ready file.
func (w *worker) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if _, err := os.Stat(w.readyFile()); err == nil {
			return nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%s: %w", w.name, errSlow)
		}
	}
}

// stop asks the worker to end and reports how long it took.
func (w *worker) stop() (time.Duration, error) {
	if w.cmd == nil {
		return 0, nil
	}
	began := time.Now()
	hard := time.AfterFunc(time.Minute, func() { _ = w.cmd.Process.Kill() })
	defer hard.Stop()
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	err := w.cmd.Wait()
	w.cmd = nil
	return time.Since(began), err
}

// pause reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
