package quota

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// waits measures for how long tokens were asked for before they came. It is
// guarded by the bucket's mutex.
type waits struct {
	observers []prometheus.Observer
	// since is when somebody began to wait, refused when somebody was told to the
	// last time; zero where nobody waits.
	since, refused time.Time
}

// goneAfter is when somebody who was refused and does not come back has gone.
const goneAfter = 2 * maxLocalWait

func (w *waits) begin(now time.Time) {
	if w.since.IsZero() || now.Sub(w.refused) > goneAfter {
		w.since = now
	}
	w.refused = now
}

func (w *waits) end(now time.Time) {
	var waited time.Duration
	if !w.since.IsZero() && now.Sub(w.refused) <= goneAfter {
		waited = max(0, now.Sub(w.since))
	}
	w.since = time.Time{}
	for _, o := range w.observers {
		o.Observe(waited.Seconds())
	}
}
