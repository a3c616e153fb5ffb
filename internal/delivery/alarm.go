package delivery

import (
	"container/heap"
	"context"
	"time"
)

// tickAt rounds up: never early.
func (s *scheduler) tickAt(t time.Time) tick {
	if t.IsZero() {
		return 0
	}
	d := (t.Sub(s.began) + tickLength - 1) / tickLength
	return tick(min(max(d, 0), time.Duration(never)-1))
}

func (s *scheduler) timeOf(due tick) time.Time { return s.began.Add(time.Duration(due) * tickLength) }

// alarmAt makes timers look at t at the latest.
func (s *scheduler) alarmAt(t time.Time) {
	if s.alarm.IsZero() || t.Before(s.alarm) {
		s.alarm = t
		poke(s.ring)
	}
}

// alarmNow makes timers look at once.
func (s *scheduler) alarmNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarmAt(time.Now())
}

// expire lets everything go whose time has come, and returns when to look again.
func (s *scheduler) expire(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	rang := !s.alarm.After(now)
	if rang {
		s.alarm = time.Time{}
		s.serve(now)
	}
	defer s.hush()
	for _, sh := range s.shards {
		for len(sh.due) > 0 && !sh.gone {
			if len(sh.refetch) >= maxRefetch { // the rest keeps its place until these were read
				s.alarmAt(now.Add(refetchPause))
				break
			}
			item := sh.due[0]
			if s.timeOf(item.due).After(now) {
				s.alarmAt(s.timeOf(item.due))
				break
			}
			heap.Pop(&sh.due)
			if int(item.id) < len(sh.index.entries) && sh.index.at(item.id).due == item.due {
				s.consider(sh, item.id)
			}
		}
	}
	if rang && len(s.turns) > 0 {
		s.work.Signal()
	}
	s.forgetTenants(now)
	if s.alarm.IsZero() {
		return time.Hour
	}
	return max(s.alarm.Sub(now), 0)
}

// hush forgets that the alarm was set: whoever sets it here looks at it next.
func (s *scheduler) hush() {
	select {
	case <-s.ring:
	default:
	}
}

// timers lets everything go whose time has come, until ctx ends.
func (w *Worker) timers(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(w.sched.expire(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-w.sched.ring:
		case <-w.sched.grown:
			w.sched.alarmNow()
		case <-timer.C:
		}
	}
}
