package breaker

import "time"

// buckets divide a window.
const buckets = 10

// window counts outcomes of the recent past.
type window struct {
	length time.Duration
	counts [buckets]tally
}

type tally struct {
	slot        int64
	failed, all int
}

func (w *window) slot(now time.Time) int64 { return now.UnixNano() / int64(w.length/buckets) }

func (w *window) add(now time.Time, failed bool) {
	slot := w.slot(now)
	c := &w.counts[int(slot%buckets)]
	if c.slot != slot {
		*c = tally{slot: slot}
	}
	c.all++
	if failed {
		c.failed++
	}
}

func (w *window) sum(now time.Time) (failed, all int) {
	slot := w.slot(now)
	for _, c := range w.counts {
		if slot-c.slot < buckets {
			failed += c.failed
			all += c.all
		}
	}
	return failed, all
}
