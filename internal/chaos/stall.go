package main

import (
	"context"
	"slices"
	"time"
)

// beat is how often the vendor looks whether it runs at all.
const beat = 5 * time.Millisecond

// stalls are the times in which this process did not run, because others had
// all cores. What reached it meanwhile bears the time of its end.
type stalls []span

// watchStalls notes the stalls of the process until ctx ends.
func (b *book) watchStalls(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) > jitter {
			b.mu.Lock()
			b.stalls = append(b.stalls, span{from: last, to: now})
			b.mu.Unlock()
		}
		last = now
	}
}

// earliest is when a request may have come that was seen at t.
func (s stalls) earliest(t time.Time) time.Time {
	i, _ := slices.BinarySearchFunc(s, t, func(s span, t time.Time) int { return s.to.Add(jitter).Compare(t) })
	if i < len(s) && s[i].from.Before(t) {
		return s[i].from
	}
	return t
}

// longestStall is how long the process did not run at most.
func (b *book) longestStall() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	var longest time.Duration
	for _, s := range b.stalls {
		longest = max(longest, s.to.Sub(s.from))
	}
	return longest
}
