package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const root = "../.."

// TestEveryCommandOfTheReadme runs what the README tells people to type, in
// its order and in a folder of its own. A command that it cannot run must be
// one that continuous integration itself runs; any other fails.
func TestEveryCommandOfTheReadme(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	commands := readmeCommands(t)
	if len(commands) < 6 || !slices.Contains(commands, "make test") {
		t.Fatalf("the README has these commands alone: %q", commands)
	}
	binary := build(t)
	for _, line := range commands {
		switch {
		case line == "go run ./cmd/holdfast dev":
			startReadmeDev(t, dir, binary)
		case line == "go build -o bin/holdfast ./cmd/holdfast":
			shell(t, root, strings.Replace(line, "bin/holdfast", filepath.Join(dir, "bin/holdfast"), 1))
		case strings.HasPrefix(line, "bin/holdfast "):
			shell(t, dir, line)
		case line == "make test":
			runBy(t, line, ".ci/run")
		case strings.HasPrefix(line, "make "): // what a target does is run by `make test`
			runBy(t, strings.TrimSpace(shell(t, root, "make -n "+strings.TrimPrefix(line, "make "))), "deploy/local/test.sh")
		default:
			t.Errorf("nothing runs %q", line)
		}
	}
}

// readmeCommands returns the indented lines of the README without their comments.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	fenced := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if command, ok := strings.CutPrefix(line, "    "); ok && !fenced {
			command, _, _ = strings.Cut(command, " #")
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands
}

// startReadmeDev runs dev without a flag, from a binary that is compiled
// already, until it says that it is ready; the test's end stops it.
func startReadmeDev(t *testing.T, dir, binary string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.Command(binary, "dev") // outlives ctx, which bounds its start
	cmd.Dir, cmd.Env = dir, readmeEnv()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("dev, told to stop: %v", err)
		}
	})
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "ready" {
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("dev is not ready after 30 s")
	}
}

// shell runs a line as a person would, and returns its stdout.
func shell(t *testing.T, dir, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir, cmd.Env = dir, readmeEnv()
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s%s", line, err, out, errs.String())
	}
	return string(out)
}

// runBy checks that a script has the command.
func runBy(t *testing.T, command, script string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, script))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), command) {
		t.Errorf("%s does not run %q", script, command)
	}
}

// readmeEnv is the environment of somebody who has just cloned the repository:
// no configuration but the one that dev leaves, and no flags of this make.
func readmeEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "HOLDFAST_") || strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS")
	})
}
