package http_test

import (
	"testing"

	"holdfast.internal/sinks"
	"holdfast.internal/sinks/sinktest"
)

// TestThePageSaysHowAnswersAreJudged: docs/sinks/http.md is what the code does.
func TestThePageSaysHowAnswersAreJudged(t *testing.T) {
	t.Parallel()
	sinktest.ReadPage(t, "../../docs/sinks/http.md").CheckStatuses(t, func(status int) error {
		return sinks.Classify(&sinks.Exchange{Method: "POST", Response: sinks.Response{Status: status}, Number: 1})
	})
}
