package delivery

import (
	"context"
	"time"

	"holdfast.internal/internal/delivery/breaker"
	"holdfast.internal/internal/topics"
	"holdfast.internal/internal/watch"
)

// gaugesEvery is how often the gauges are counted anew: the index is read for
// them, so not on every record.
const gaugesEvery = 5 * time.Second

// counts is what an index holds.
type counts struct {
	waiting, due []int64 // by tier
	keys, parked int64
	state        breaker.State
	standing     []watch.Part
}

// count goes through the index.
func (s *scheduler) count(now time.Time) counts {
	c := counts{waiting: make([]int64, s.layout.tiers), due: make([]int64, s.layout.tiers), state: breaker.Closed}
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.tickAt(now)
	for _, sh := range s.shards {
		c.standing = s.stand(sh, limit, c.standing)
		if !sh.open {
			continue
		}
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
	return c
}

// stand adds how far the partitions of a shard were read and settled. What waits
// behind an earlier record of its key is not late for itself.
func (s *scheduler) stand(sh *shard, now tick, to []watch.Part) []watch.Part {
	oldest, due := make([]time.Time, len(s.layout.names)), make([]tick, len(s.layout.names))
	for _, t := range sh.tasks.all() {
		slot, written := sh.index.at(t.id).slot(), t.env.Written
		if s.layout.tier(slot) < 0 && !written.IsZero() && (oldest[slot].IsZero() || written.Before(oldest[slot])) {
			oldest[slot] = written
		}
	}
	sh.index.each(func(i id, e *entry) {
		first := due[e.slot()] == 0 || e.due < due[e.slot()]
		if s.layout.tier(e.slot()) >= 0 && e.due > 0 && e.due <= now && first && sh.index.leads(i) {
			due[e.slot()], oldest[e.slot()] = e.due, s.timeOf(e.due)
		}
	})
	for slot, p := range sh.parts {
		if p == nil || p.finished == nil || slot == s.layout.letters {
			continue
		}
		to = append(to, watch.Part{
			Topic: p.topic, Partition: sh.num, Next: p.finished.Next(), Held: int64(p.finished.Outstanding()), Oldest: oldest[slot],
		})
	}
	return to
}

// Parts says how the partitions of this worker stand, as of the last few seconds.
func (w *Worker) Parts() []watch.Part {
	if parts := w.parts.Load(); parts != nil {
		return *parts
	}
	return nil
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
		w.meters.state(c.state)
		w.parts.Store(&c.standing)
		if sleep(ctx, gaugesEvery) != nil {
			return
		}
	}
}
