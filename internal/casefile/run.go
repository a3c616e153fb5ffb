package casefile

import (
	"os"
	"testing"

	"holdfast.internal/processors"
)

// Run checks p against every case file in testdata, each case a test of its own.
func Run(t *testing.T, p processors.Processor) {
	t.Helper()
	cases, err := Load(os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			diffs, err := c.Check(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range diffs {
				t.Error(d)
			}
		})
	}
}
