package main

import (
	"testing"
	"time"
)

func TestTimesInTables(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]string{
		300 * time.Millisecond: "now",
		16 * time.Second:       "16s ago",
		3*time.Minute + 1:      "3m ago",
		26 * time.Hour:         "26h ago",
		90 * 24 * time.Hour:    "90d ago",
		-150 * time.Second:     "2m from now",
	} {
		if got := (&globals{timeFormat: "relative"}).when(time.Now().Add(-age)); got != want {
			t.Errorf("%s: %q, want %q", age, got, want)
		}
	}
	if got := (&globals{timeFormat: "relative"}).when(time.Time{}); got != "-" {
		t.Errorf("no time: %q", got)
	}
}
