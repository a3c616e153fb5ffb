package shipmenttable_test

import (
	"testing"

	"holdfast.internal/internal/casefile"
	"holdfast.internal/processors/shipmenttable"
)

func TestCases(t *testing.T) {
	t.Parallel()
	casefile.Run(t, shipmenttable.New())
}
