package delivery

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// A gap is loud: where records are gone before they were delivered, or offsets
// mean other records than before, the partition stops and nobody moves its
// place. What a person decides takes a restart.

// gapRest is how long a partition with a gap is left alone: the client would
// ask for it again without a pause, 200,000 times a second.
const gapRest = 5 * time.Second

// atGap lets a partition rest that has a gap. One whose log was cut below what
// was read of it stops for good: the client goes on from the cut, where new
// records have offsets of old ones, and would be taken for them.
func (w *Worker) atGap(topic string, num int32, err error) {
	if _, reason := gap(err); topic == "" || reason == "" {
		return
	}
	if _, lost := errors.AsType[*kgo.ErrDataLoss](err); lost {
		w.sched.stopPart(topic, num)
	}
	one := map[string][]int32{topic: {num}}
	w.client.PauseFetchPartitions(one)
	time.AfterFunc(gapRest, func() { w.client.ResumeFetchPartitions(one) })
}

// stopPart takes nothing more of a partition until it is assigned anew.
func (s *scheduler) stopPart(topic string, num int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.part(topic, num); p != nil {
		p.stopped = true
	}
}

// complaints logs what a broker says about a partition once a minute, not once a poll.
type complaints struct {
	log  *zap.Logger
	last map[string]time.Time
}

func newComplaints(log *zap.Logger) *complaints {
	return &complaints{log: log, last: make(map[string]time.Time)}
}

func (c *complaints) fetch(topic string, partition int32, err error) {
	at := fmt.Sprintf("%s-%d %v", topic, partition, err)
	if time.Since(c.last[at]) < time.Minute {
		return
	}
	if len(c.last) > 1000 {
		clear(c.last)
	}
	c.last[at] = time.Now()
	fields := []zap.Field{zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err)}
	if what, reason := gap(err); reason != "" {
		c.log.Error(what+"; the partition stops here until somebody decides", append(fields, zap.String("reason", reason))...)
		return
	}
	c.log.Warn("fetch", fields...)
}

// gap says which errors mean that records are gone, and how alerts name that.
func gap(err error) (what, reason string) {
	_, lost := errors.AsType[*kgo.ErrDataLoss](err)
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		return "records are gone before they were delivered", "offset_out_of_range"
	case lost:
		return "the log was cut below what was read of it", "truncated"
	}
	return "", ""
}
