package kafka

import (
	"testing"
	"time"
)

// TestFences: three within a minute are a rival's.
func TestFences(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at    []time.Duration
		rival bool // at the last
	}{
		"one":                  {[]time.Duration{0}, false},
		"two at once":          {[]time.Duration{0, 0}, false},
		"three in 59 s":        {[]time.Duration{0, 30 * time.Second, 59 * time.Second}, true},
		"three in a minute":    {[]time.Duration{0, 30 * time.Second, 60 * time.Second}, false},
		"the last three count": {[]time.Duration{0, 61 * time.Second, 62 * time.Second, 63 * time.Second}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f Fences
			var err error
			for _, at := range c.at {
				err = f.Add(time.Unix(1e9, 0).Add(at))
			}
			if (err != nil) != c.rival {
				t.Errorf("got %v", err)
			}
		})
	}
}
