package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// brokers is how many there are: one may die.
const brokers = 3

// services are real Kafka and a real registry, by deploy/local/services.sh.
type services struct {
	root     string // of the module
	state    string
	ours     bool // started here, so to be stopped here
	kafka    []string
	registry string
}

func startServices(ctx context.Context, state string) (*services, error) {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	s := &services{root: filepath.Dir(strings.TrimSpace(string(gomod)))}
	if s.state, err = filepath.Abs(state); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(s.state, "env")); err != nil {
		s.ours = true
	}
	text, err := s.script(ctx, "up")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "HOLDFAST_TEST_KAFKA":
			s.kafka = strings.Split(value, ",")
		case "HOLDFAST_TEST_REGISTRY":
			s.registry = value
		}
	}
	return s, nil
}

// script runs a verb of services.sh and returns its stdout.
func (s *services) script(ctx context.Context, verb ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "deploy/local/services.sh"), verb...) //nolint:gosec // the module's own
	cmd.Env = append(os.Environ(), "STATE="+s.state, "BROKERS="+strconv.Itoa(brokers))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("services.sh %s: %w", strings.Join(verb, " "), err)
	}
	return out.String(), nil
}

// bounce kills a broker and starts it again.
func (s *services) bounce(ctx context.Context, broker int) error {
	_, err := s.script(ctx, "bounce", strconv.Itoa(broker))
	return err
}

// halt ends a broker, orderly or with SIGKILL.
func (s *services) halt(ctx context.Context, broker int, orderly bool) error {
	signal := "KILL"
	if orderly {
		signal = "TERM"
	}
	_, err := s.script(ctx, "stop", strconv.Itoa(broker), signal)
	return err
}

// start starts a broker again.
func (s *services) start(ctx context.Context, broker int) error {
	_, err := s.script(ctx, "start", strconv.Itoa(broker))
	return err
}

// stop ends what was started here, also after ctx has ended.
func (s *services) stop(ctx context.Context) {
	if !s.ours {
		return
	}
	if _, err := s.script(context.WithoutCancel(ctx), "down"); err != nil {
		say("%v", err)
	}
}
