package delivery

import (
	"context"
	"time"

	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/topics"
)

// gaugesEvery is how often the gauges are counted anew: the index is read for
// them, so not on every record.
const gaugesEvery = 5 * time.Second

// counts is what an index holds.
type counts struct {
	waiting, due       []int64 // by tier
	keys, parked       int64
	open, closed       int // shards
	state              breaker.State
	held, bytes, inAir int
}

// count goes through the index, one shard at a time.
func (s *scheduler) count(now time.Time) counts {
	c := counts{waiting: make([]int64, s.layout.tiers), due: make([]int64, s.layout.tiers), state: breaker.Closed}
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.tickAt(now)
	for _, sh := range s.shards {
		if !sh.open {
			c.closed++
			continue
		}
		c.open++
		sh.index.each(func(i id, e *entry) {
			if tier := s.layout.tier(e.slot()); tier >= 0 {
				c.waiting[tier]++
				if e.due <= limit {
					c.due[tier]++
				}
			}
			if !sh.index.leads(i) {
				c.parked++
				if sh.index.at(sh.index.first(e.key)).next == i {
					c.keys++
				}
			}
		})
	}
	for _, tn := range s.tenants {
		if tn.breaker != nil {
			c.state = max(c.state, tn.breaker.State())
		}
	}
	c.held, c.bytes, c.inAir = s.held, s.bytes, s.flying
	return c
}

func (w *Worker) gaugeLoop(ctx context.Context) {
	for {
		c := w.sched.count(time.Now())
		for tier, d := range w.cfg.Tiers {
			w.meters.waiting.WithLabelValues(w.cfg.Sink, topics.Tier(d)).Set(float64(c.waiting[tier]))
			w.meters.due.WithLabelValues(w.cfg.Sink, topics.Tier(d)).Set(float64(c.due[tier]))
		}
		w.meters.parkedKeys.WithLabelValues(w.cfg.Sink).Set(float64(c.keys))
		w.meters.parked.WithLabelValues(w.cfg.Sink).Set(float64(c.parked))
		for _, st := range []breaker.State{breaker.Closed, breaker.HalfOpen, breaker.Open} {
			on := 0.0
			if st == c.state {
				on = 1
			}
			w.meters.breaker.WithLabelValues(w.cfg.Sink, st.String()).Set(on)
		}
		if sleep(ctx, gaugesEvery) != nil {
			return
		}
	}
}
