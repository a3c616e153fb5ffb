package table

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"holdfast.internal"
	"holdfast.internal/sinks/sinktest"
)

// TestThePageSaysHowAnswersAreJudged: docs/sinks/table.md is what the code does.
func TestThePageSaysHowAnswersAreJudged(t *testing.T) {
	t.Parallel()
	for code, row := range sinktest.ReadPage(t, "../../docs/sinks/table.md") {
		verdict, f := holdfast.Judge(classifyPostgres(&pgconn.PgError{Code: strings.Replace(code, "xxx", "999", 1)}))
		if got := (sinktest.Row{Verdict: verdict, Class: f.Class}); got != row {
			t.Errorf("%s is judged %v, and the page says %v", code, got, row)
		}
	}
}
