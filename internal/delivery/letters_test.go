//go:build synctests

package delivery

import (
	"maps"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// TestADeadLetterIsLogged, by its event and its reason, and of a flood of them
// the first twenty in a minute.
func TestADeadLetterIsLogged(t *testing.T) {
	t.Parallel()
	refuse := func(*sinks.Attempt, int) error {
		return &holdfast.PermanentError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 422, Code: "card_declined", Detail: "ada@example.com"}}
	}
	inWorld(t, Config{}, refuse, func(w *world) {
		core, logs := observer.New(zap.WarnLevel)
		w.log = zap.New(core)
		stop := w.worker()
		w.into(0, "bad", 50)
		pass(10 * time.Second)
		stop()
		lines := logs.FilterMessage("dead letter").All()
		if len(lines) != letterLines {
			t.Fatalf("%d lines for 50 dead letters, want %d", len(lines), letterLines)
		}
		for _, l := range lines {
			said := l.ContextMap()
			id, _ := said["event_id"].(string)
			want := map[string]any{
				"sink": "s", "event_id": id, "origin": source + "-0@" + strings.TrimPrefix(id, "bad"),
				"class": string(holdfast.ClassValidation), "status": int64(422), "code": "card_declined", "attempts": int64(1),
			}
			if !maps.Equal(said, want) {
				t.Errorf("%v, want %v", said, want)
			}
		}
	})
}
