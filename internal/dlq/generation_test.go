package dlq

import "testing"

func TestGenerationRisesOnlyWhereTheVendorRepeatsARefusal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind         string
		status       int
		before, want int
	}{
		"stripe keeps a 402 under its key":         {"stripe", 402, 0, 1},
		"a second refusal needs a third key":       {"stripe", 402, 1, 2},
		"stripe keeps no 400":                      {"stripe", 400, 0, 0},
		"stripe keeps no 429":                      {"stripe", 429, 2, 2},
		"a 500 proves nothing":                     {"stripe", 500, 0, 0},
		"nobody answered":                          {"stripe", 0, 1, 1},
		"another vendor's 402 says nothing of key": {"http", 402, 0, 0},
		"a processor has no vendor":                {"", 402, 0, 0},
	} {
		if got := nextGeneration(c.kind, c.status, c.before); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
