//go:build synctests

package delivery

import (
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// plansPerCheck is how many plans one check of rapid draws by default.
const plansPerCheck = 100

// TestP1P3P4P5RandomPlans plays random plans and holds the books of the vendor
// against the promises. HOLDFAST_PLANS says how many; 500 by default.
func TestP1P3P4P5RandomPlans(t *testing.T) { //nolint:tparallel // the faults are counted once the group has ended
	t.Parallel()
	n := 500
	if text := os.Getenv("HOLDFAST_PLANS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	suite := &hits{count: map[string]int{}}
	t.Run("plans", func(t *testing.T) {
		for range (n + plansPerCheck - 1) / plansPerCheck {
			t.Run("hundred", func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(rt *rapid.T) {
					p := plans().Draw(rt, "plan")
					if wrong := play(t, p, bug{}, suite); wrong != "" {
						rt.Fatalf("%s\nplan: %s", wrong, p)
					}
				})
			})
		}
	})
	if missing := suite.missing(); len(missing) > 0 && n >= 300 {
		t.Errorf("these faults never happened, so nothing was proved about them: %v", missing)
	}
}
