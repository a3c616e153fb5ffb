package breaker

import "time"

const buckets = 10

// tally counts outcomes.
type tally struct{ all, systemic int }

func (t tally) share() float64 { return float64(t.systemic) / float64(max(1, t.all)) }

// window counts the outcomes of the last so many buckets.
type window struct {
	width   time.Duration // of a bucket
	start   time.Time     // of bucket 0
	newest  int64
	buckets [buckets]tally // by number modulo their count
	sum     tally
}

// add counts an outcome. One that comes with an earlier time than the last is
// counted in the newest bucket.
func (w *window) add(now time.Time, systemic bool) {
	w.advance(now)
	b := &w.buckets[w.newest%buckets]
	b.all++
	w.sum.all++
	if systemic {
		b.systemic++
		w.sum.systemic++
	}
}

func (w *window) advance(now time.Time) {
	if w.start.IsZero() {
		w.start = now
	}
	to := int64(now.Sub(w.start) / max(1, w.width))
	if to >= w.newest+buckets {
		*w = window{width: w.width, start: w.start, newest: to}
	}
	for w.newest < to {
		w.newest++
		b := &w.buckets[w.newest%buckets]
		w.sum.all -= b.all
		w.sum.systemic -= b.systemic
		*b = tally{}
	}
}

func (w *window) clear() { *w = window{width: w.width} }
