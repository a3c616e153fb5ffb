package main

import (
	"slices"
	"time"
)

// breaks counts events that went before an earlier one of their key.
type breaks struct {
	// FirstAttempts were attempted before an earlier one was.
	FirstAttempts int `json:"first_attempts"`
	// Settles were attempted before an earlier one was answered.
	Settles int `json:"settles"`
	// Applied took effect before an earlier one did.
	Applied int `json:"applied"`
}

func (b breaks) total() int { return b.FirstAttempts + b.Settles + b.Applied }

// orderBreaks looks at every key. Order ends at a dead letter, so those are
// passed over; what was lost is counted elsewhere.
func (b *book) orderBreaks(dead map[string]bool) breaks {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n breaks
	for _, events := range b.byKey() {
		var first, answered, applied int // the latest of all earlier ones
		for _, e := range events {
			if dead[e.id] || e.answered == 0 {
				continue
			}
			if e.first < first {
				n.FirstAttempts++
			}
			if e.first < answered {
				n.Settles++
			}
			if e.applied < applied {
				n.Applied++
			}
			first, answered, applied = max(first, e.first), max(answered, e.answered), max(applied, e.applied)
		}
	}
	return n
}

// outcome counts what became of the events that were sent.
func (b *book) outcome(sent []string, dead map[string]bool) (applied, twice, lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range sent {
		e := b.events[id]
		switch {
		case e != nil && e.applied > 0:
			applied++
			if len(e.keys) > 1 {
				twice++
			}
		case !dead[id]:
			lost++
		}
	}
	return applied, twice, lost
}

// kill is one worker's end and new beginning.
type kill struct {
	worker string
	at     time.Time
	watch  *watch
	frozen bool      // it was stopped, and went on
	thawed time.Time // when
}

// span of a broker's absence; to is zero while it lasts.
type span struct{ from, to time.Time }

// settling is how long a broker's absence is felt after its return.
const settling = 5 * time.Second

// troubled reports whether a broker's absence was felt at any time between.
func troubled(spans []span, from, to time.Time) bool {
	return slices.ContainsFunc(spans, func(s span) bool {
		return to.After(s.from) && (s.to.IsZero() || from.Before(s.to.Add(settling)))
	})
}

// duplicates are requests for what was answered already, by the kill that
// explains them: the last one, before the request, of the worker that had had
// the answer. Of the others, those are apart that met a broker's absence, in
// which nobody can commit, and those that a frozen worker sent when it went on.
type duplicates struct {
	total, brokerDown, zombie, unexplained int
	perKill                                []int
}

func (b *book) duplicates(kills []kill, bounces []span) duplicates {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := duplicates{total: len(b.repeats), perKill: make([]int, len(kills))}
	for _, r := range b.repeats {
		cause, zombie := -1, false
		for i, k := range kills {
			zombie = zombie || k.frozen && k.worker == r.by && r.at.After(k.thawed) && r.at.Before(k.thawed.Add(settling))
			// A request of the killed worker may be answered just after its end.
			if k.worker == r.answeredBy && k.at.Before(r.at) && k.at.After(r.answeredAt.Add(-time.Second)) {
				cause = i
			}
		}
		switch {
		case zombie:
			d.zombie++
		case cause >= 0:
			d.perKill[cause]++
		case troubled(bounces, r.answeredAt, r.at):
			d.brokerDown++
		default:
			d.unexplained++
		}
	}
	return d
}

// busiest is the most events that were settled in any window w.
func (b *book) busiest(w time.Duration) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return most(b.settles, w, nil)
}

// most is the largest number of times within any window of length w, whatever
// the clock hid during stalls.
func most(times []time.Time, w time.Duration, hidden stalls) int {
	times = slices.Clone(times)
	slices.SortFunc(times, time.Time.Compare)
	n, from := 0, 0
	for to, t := range times {
		for t.Sub(hidden.earliest(times[from])) > w {
			from++
		}
		n = max(n, to-from+1)
	}
	return n
}

// longestPause is the longest time between two settled events.
func (b *book) longestPause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	var longest time.Duration
	for i := 1; i < len(b.settles); i++ {
		longest = max(longest, b.settles[i].Sub(b.settles[i-1]))
	}
	return longest
}

// settledAfter is the time from t to the first event that was settled after it.
func (b *book) settledAfter(t time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range b.settles {
		if at.After(t) {
			return at.Sub(t)
		}
	}
	return 0
}

// jitter of the clock and the network is forgiven.
const jitter = 25 * time.Millisecond

// overshoot is how many requests more than rate·w + burst came in any window.
func (b *book) overshoot(w time.Duration, rate float64, burst int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, most(b.arrivals, w, b.stalls)-int(rate*(w+jitter).Seconds())-burst)
}

// quantile of durations, in seconds; 0 for none.
func quantile(all []time.Duration, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)-1, int(q*float64(len(all))))].Seconds()
}
