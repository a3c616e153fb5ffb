package stripe

import (
	"testing"

	"holdfast.internal"
	"holdfast.internal/sinks"
	"holdfast.internal/sinks/sinktest"
)

// TestThePageSaysHowAnswersAreJudged: docs/sinks/stripe.md is what the code does.
func TestThePageSaysHowAnswersAreJudged(t *testing.T) {
	t.Parallel()
	page := sinktest.ReadPage(t, "../../docs/sinks/stripe.md")
	answer := func(status int, body string) error {
		return classify(&sinks.Exchange{Method: "POST", Response: sinks.Response{Status: status, Body: []byte(body)}, Number: 1})
	}
	page.CheckStatuses(t, func(status int) error { return answer(status, "") })
	verdict, f := holdfast.Judge(answer(400, `{"error": {"type": "idempotency_error"}}`))
	if got := (sinktest.Row{Verdict: verdict, Class: f.Class}); got != page["idempotency_error"] {
		t.Errorf("idempotency_error is judged %v", got)
	}
}
