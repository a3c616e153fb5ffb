package main

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal/internal/delivery"
)

// TestRunRefusesASinkWhosePlaceIsLost: with 3, unless --from says where to begin.
func TestRunRefusesASinkWhosePlaceIsLost(t *testing.T) {
	t.Parallel()
	cfg, conn := onEmbedded(t, `
sinks:
  - {name: hook, kind: http, in: billing.invoice-command.v1, url: "https://example.com/"}
http: {listen: "127.0.0.1:0"}
`)
	if err := conn.client.ProduceSync(t.Context(), &kgo.Record{Topic: "retry.hook.1m", Value: []byte("waits")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	_, err := newApp(t.Context(), cfg, selection{role: "all"}, zap.NewNop())
	if !errors.Is(err, delivery.ErrPlaceLost) || exitCode(t.Context(), err) != exitFindings {
		t.Errorf("exit %d: %v", exitCode(t.Context(), err), err)
	}
	runOnce(t, cfg, selection{role: "all", from: "latest"})
	runOnce(t, cfg, selection{role: "all"}) // it has a place now
}
