package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/producers/outbox"
)

// TestDevEndsWithAPartThatFails: its generator must not keep a process alive
// that delivers nothing.
func TestDevEndsWithAPartThatFails(t *testing.T) {
	t.Parallel()
	box, err := outbox.Open(outbox.Config{DSN: holdfast.Secret("sqlite:" + filepath.Join(t.TempDir(), "outbox.db"))})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	if err := box.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	fenced := errors.New("fenced")
	fails := runner{name: "sink", ready: make(chan struct{}), run: func(context.Context) error { return fenced }}
	d := &devStack{log: zap.NewNop(), box: box, app: &app{log: zap.NewNop(), runners: []runner{fails}}}
	ended := make(chan error)
	go func() { ended <- d.run(t.Context(), &globals{out: io.Discard}, devOptions{traffic: 100}) }()
	select {
	case err := <-ended:
		if !errors.Is(err, fenced) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}
