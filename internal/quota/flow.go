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
	// flowPause is how many requests' time, and a second at least, is a pause:
	// what lies beyond says nothing of the pace, and is no time to forget it.
	flowPause = 10
)

// flow is how much is sent, by its answers: the fastest that was seen of late.
type flow struct {
	since time.Time
	last  time.Time // that there was an answer
	now   pace      // requests and tokens since then
	most  pace      // per second
	first bool      // most is of the time since then
}

// pace is in requests and in tokens.
type pace struct{ requests, tokens float64 }

func (f *flow) add(now time.Time, t tally) {
	if t.requests() == 0 {
		return
	}
	if f.since.IsZero() {
		f.since, f.last, f.first = now, now, true
	}
	f.since = f.since.Add(max(0, now.Sub(f.last)-f.pause()))
	f.last = now
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

// pause is how long nothing may be answered and belong to the pace.
func (f *flow) pause() time.Duration {
	if f.most.requests <= 0 {
		return time.Second
	}
	return time.Duration(max(1, flowPause/f.most.requests) * float64(time.Second))
}

func (f *flow) pace() pace { return f.most }

// resume begins with a pace that another has seen.
func (f *flow) resume(now time.Time, p pace) {
	if f.since.IsZero() {
		f.since, f.last = now, now
	}
	f.most, f.first = p, false
}
