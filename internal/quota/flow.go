package quota

import (
	"math"
	"time"
)

const (
	// flowMemory is how long the most that was sent is remembered, e-fold:
	// longer than the pauses that refusals make.
	flowMemory = 30 * time.Second
	// flowLeast is how many requests, in a second at least, tell a pace.
	flowLeast = 10
)

// flow is how much is sent, by its answers: the fastest that was seen of late.
type flow struct {
	since time.Time
	now   pace // requests and tokens since then
	most  pace // per second
	first bool // most is of the time since then
}

// pace is in requests and in tokens.
type pace struct{ requests, tokens float64 }

func (f *flow) add(now time.Time, t tally) {
	if f.since.IsZero() {
		f.since, f.first = now, true
	}
	d := max(1, now.Sub(f.since).Seconds())
	if f.now.requests >= flowLeast && now.Sub(f.since) >= time.Second {
		fade := math.Exp(-d / flowMemory.Seconds())
		if f.first {
			fade = 0
		}
		f.most.requests = max(f.most.requests*fade, f.now.requests/d)
		f.most.tokens = max(f.most.tokens*fade, f.now.tokens/d)
		f.since, f.now, f.first = now, pace{}, false
	}
	f.now.requests += t.requests()
	f.now.tokens += t.Tokens
	if f.first {
		f.most = pace{requests: f.now.requests / d, tokens: f.now.tokens / d}
	}
}

func (f *flow) pace() pace { return f.most }
