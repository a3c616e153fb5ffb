package quota

import "time"

// lease is a right that ends one term after it was asked for.
type lease struct {
	asked time.Time
	term  time.Duration
}

// live reports whether the right still stands.
func (l lease) live(now time.Time) bool {
	return !l.asked.IsZero() && age(l.asked, now) < l.term
}

// age is how much time has passed since t. The monotonic clock stands still
// while a machine sleeps, the wall clock can be set back: the one that saw
// more time pass is believed.
func age(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// ageAtLeast is how much time has surely passed since t: the clock that saw
// less is believed.
func ageAtLeast(t, now time.Time) time.Duration {
	return min(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}
