package processing

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

const (
	// rest is how long a partition that cannot be read is left alone: the
	// client would ask for it again without a pause, 200,000 times a second.
	rest = 5 * time.Second
	// tellEvery bounds how often one partition is complained about.
	tellEvery = time.Minute
)

// faults are the partitions that cannot be read: records lost to retention,
// batches that are corrupt or too large. Nothing of them is skipped.
type faults struct {
	log     *zap.Logger
	told    map[partition]time.Time
	resting map[partition]time.Time // until when
}

func newFaults(log *zap.Logger) faults {
	return faults{log: log, told: map[partition]time.Time{}, resting: map[partition]time.Time{}}
}

func (f *faults) tell(p partition, err error) {
	if time.Since(f.told[p]) < tellEvery {
		return
	}
	f.told[p] = time.Now()
	f.log.Error("cannot read; nothing is skipped", zap.String("topic", p.topic), zap.Int32("partition", p.number), zap.Error(err))
}

// next is when the first of them has rested.
func (f *faults) next() (until time.Time, ok bool) {
	for _, at := range f.resting {
		if !ok || at.Before(until) {
			until, ok = at, true
		}
	}
	return until, ok
}

// drop forgets who rests and returns them.
func (f *faults) drop() map[string][]int32 {
	partitions := map[string][]int32{}
	for p := range f.resting {
		partitions[p.topic] = append(partitions[p.topic], p.number)
	}
	clear(f.resting)
	return partitions
}

// look tells about fetch errors and lets their partitions rest. It returns an
// error for what only a new session mends.
func (s *session) look(fetches kgo.Fetches) error {
	var fatal error
	paused := map[string][]int32{}
	fetches.EachError(func(topic string, number int32, err error) {
		p := partition{topic, number}
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded): // our own wake-up
		case fenced(err):
			fatal = err
		case topic == "": // the group's session; the client joins again by itself
			s.faults.tell(p, err)
		default:
			s.faults.tell(p, err)
			s.faults.resting[p] = time.Now().Add(rest)
			paused[topic] = append(paused[topic], number)
		}
	})
	if len(paused) > 0 {
		s.Client().PauseFetchPartitions(paused)
	}
	return fatal
}

// rested lets partitions be fetched again whose time has come. One that has a
// lane now waits for its end.
func (s *session) rested() {
	resume := map[string][]int32{}
	for p, until := range s.faults.resting {
		if time.Now().Before(until) {
			continue
		}
		delete(s.faults.resting, p)
		if l := s.lanes.all[p]; l != nil {
			l.paused = true
			continue
		}
		resume[p.topic] = append(resume[p.topic], p.number)
	}
	s.resume(resume)
}
