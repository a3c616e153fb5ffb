//go:build synctests

package delivery

import (
	"sync"
	"time"

	"holdfast.internal/internal/sinkstate"
)

// Times of word of mouth: how often a worker says how it stands, and how long
// that takes to reach the others.
const (
	wordEvery = 100 * time.Millisecond
	wordTakes = 300 * time.Millisecond
	// wordSlack is how long after an answer all workers have to know of it.
	wordSlack = wordTakes + 3*wordEvery
)

// words is what workers said of throttles, as the topic holdfast.sinks keeps it.
type words struct {
	mu   sync.Mutex
	said map[string]word // by worker
}

type word struct {
	until time.Time
	at    time.Time // since when it is said
}

func (w *words) say(worker string, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said == nil {
		w.said = map[string]word{}
	}
	if until.After(w.said[worker].until) {
		w.said[worker] = word{until: until, at: time.Now()}
	}
}

// heard calls each for what was said before a time.
func (w *words) heard(before time.Time, each func(worker string, until time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for worker, said := range w.said {
		if said.at.Before(before) {
			each(worker, said.until)
		}
	}
}

// heed tells a process that starts what was asked of the one before it, and then
// what others are asked; it says the like of itself.
func (p *proc) heed() {
	if p.sim.bug.deaf {
		return
	}
	p.sim.words.heard(time.Now(), func(_ string, until time.Time) {
		p.worker.Heed(sinkstate.Throttle{Until: until}, "before the start")
	})
	go func() {
		tick := time.NewTicker(wordEvery)
		defer tick.Stop()
		for {
			select {
			case <-p.killed:
				return
			case <-p.done:
				return
			case <-tick.C:
			}
			if st := p.worker.Standing(); st.Held == sinkstate.Throttled {
				p.sim.words.say(p.name, st.Until)
			}
			p.sim.words.heard(time.Now().Add(-wordTakes), func(worker string, until time.Time) {
				p.worker.Heed(sinkstate.Throttle{Until: until}, worker)
			})
		}
	}()
}
