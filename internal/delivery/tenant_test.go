package delivery

import (
	"slices"
	"testing"
	"time"

	"holdfast.internal/internal/sinkstate"
)

// TestAHoldIsToldOnce: people hear of a hold when it begins, and at most once a
// minute while throttles follow each other, with or without deliveries between,
// unless they grow.
func TestAHoldIsToldOnce(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	tests := map[string]struct {
		every, wait, whole time.Duration
		least, most        int
	}{
		"one after the other for an hour": {time.Second, time.Second, time.Hour, 59, 60},
		"longer than a minute each":       {10 * time.Minute, 10 * time.Minute, time.Hour, 6, 6},
		"one throttle":                    {time.Hour, time.Second, time.Second, 1, 1},
		"many answers to one throttle":    {10 * time.Millisecond, 5 * time.Second, time.Second, 1, 1},
		"now and then":                    {5 * time.Minute, time.Second, time.Hour, 12, 12},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h hold
			told := 0
			for at := time.Duration(0); at < test.whole; at += test.every {
				if now := start.Add(at); h.extend(now, now.Add(test.wait), sinkstate.Throttled) {
					told++
				}
			}
			if told < test.least || told > test.most {
				t.Errorf("told %d times, want %d to %d", told, test.least, test.most)
			}
		})
	}
}

// TestALongHoldIsTold: a short hold that becomes a long one is told again at once.
func TestALongHoldIsTold(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var h hold
	h.extend(now, now.Add(time.Second), sinkstate.Throttled)
	if h.extend(now, now.Add(3*time.Second), sinkstate.Throttled) {
		t.Error("a hold of 3s was told after one of 1s")
	}
	if !h.extend(now, now.Add(time.Hour), sinkstate.Throttled) {
		t.Error("a hold of an hour was not told after one of 1s")
	}
}

// TestAHoldThatGrowsIsTold: a vendor that names no time is waited for longer and longer.
func TestAHoldThatGrowsIsTold(t *testing.T) {
	t.Parallel()
	var h hold
	var told []time.Duration
	now := time.Unix(0, 0)
	for wait := 250 * time.Millisecond; wait <= 16*time.Second; wait *= 2 {
		if h.extend(now, now.Add(wait), sinkstate.Throttled) {
			told = append(told, wait)
		}
		now = now.Add(wait)
	}
	if want := []time.Duration{250 * time.Millisecond, 2 * time.Second, 8 * time.Second}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}

// TestAHoldLastsToItsEnd: people read of a hold that is long until it is over,
// and of none that is short, however many there are.
func TestAHoldLastsToItsEnd(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	for name, c := range map[string]struct {
		holds    map[time.Duration]time.Duration // by when it is asked for
		from, to time.Duration                   // when it is told; equal for never
	}{
		"a long one":                         {map[time.Duration]time.Duration{0: time.Minute}, 0, time.Minute},
		"a short one":                        {map[time.Duration]time.Duration{0: 2 * time.Second}, 0, 0},
		"a short one that becomes long":      {map[time.Duration]time.Duration{0: time.Second, 500 * time.Millisecond: 3 * time.Second}, 500 * time.Millisecond, 3500 * time.Millisecond},
		"a long one, and a short one in it":  {map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Second}, 0, time.Minute},
		"a long one, and a short one behind": {map[time.Duration]time.Duration{0: time.Minute, time.Minute: time.Second}, 0, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h hold
			for at := time.Duration(0); at < 2*time.Minute; at += 100 * time.Millisecond {
				now := start.Add(at)
				if wait := c.holds[at]; wait > 0 {
					h.extend(now, now.Add(wait), sinkstate.Throttled)
				}
				if told := h.lasts(now); told != (at >= c.from && at < c.to) {
					t.Fatalf("after %s: told is %v", at, told)
				}
			}
		})
	}
}
