package dlq

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
)

// Outcome is how a redrive stands.
type Outcome struct {
	Sent      int
	Delivered int
	Failed    int // dead again
	Pending   int // not settled yet, or waiting in a tier
	// DeadAgain names the new letters, at most 100.
	DeadAgain []string
}

// Sent is what a redrive sent, and where each record is now as far as was read.
type Sent struct {
	Count int

	box      *Box
	journeys map[copyID]*journey
	// read is how far tiers and dead letters were read; it begins where they
	// ended before the first record was sent.
	read map[string]map[int32]int64
}

// journey is one redriven record: where it was seen last.
type journey struct {
	topic     string
	partition int32
	offset    int64
	hop       int
}

// watch notes where tiers and dead letters end now.
func (b *Box) watch(ctx context.Context) (*Sent, error) {
	s := &Sent{box: b, journeys: map[copyID]*journey{}, read: map[string]map[int32]int64{}}
	extents, err := scan.MeasureExisting(ctx, b.admin(), s.onward()...)
	if err != nil {
		return nil, err
	}
	for topic, partitions := range extents {
		for p, stretch := range partitions {
			s.mark(topic, p, stretch.To)
		}
	}
	return s, nil
}

// onward names the topics that a redriven record may go to.
func (s *Sent) onward() []string {
	return append(s.box.Target.Retry(), s.box.Target.Letters())
}

func (s *Sent) mark(topic string, partition int32, to int64) {
	if s.read[topic] == nil {
		s.read[topic] = map[int32]int64{}
	}
	s.read[topic][partition] = to
}

func (s *Sent) add(records []*kgo.Record, count int) {
	s.Count += count
	for _, r := range records {
		e := record.Read(r, record.FromHoldfast)
		s.journeys[journeyID(e)] = &journey{topic: r.Topic, partition: r.Partition, offset: r.Offset, hop: e.Hop}
	}
}

// Outcome reads how the redrive stands. Offsets first, topics after: a record
// is written to where it goes next before it is settled where it was, so what
// the offsets call settled is found by the reading that follows.
func (s *Sent) Outcome(ctx context.Context) (Outcome, error) {
	settled, err := Settled(ctx, s.box.Client, s.box.Target.Group())
	if err != nil {
		return Outcome{}, err
	}
	whole, err := s.settledCanBeRead(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if err := s.follow(ctx); err != nil {
		return Outcome{}, err
	}
	o := Outcome{Sent: s.Count} // not whole: what looks delivered may lie in a dead-letter topic that cannot be read yet
	for _, j := range s.journeys {
		switch {
		case j.topic == s.box.Target.Letters():
			o.Failed++
			o.DeadAgain = append(o.DeadAgain, holdfast.Coordinates{Topic: j.topic, Partition: j.partition, Offset: j.offset}.String())
		case whole && settled(j.topic, j.partition).Has(j.offset):
			o.Delivered++
		default:
			o.Pending++
		}
	}
	slices.Sort(o.DeadAgain)
	o.DeadAgain = o.DeadAgain[:min(len(o.DeadAgain), 100)]
	return o, nil
}

// settledCanBeRead waits for the transactions in which a processor settles its
// input and writes its dead letters: the offsets show first.
func (s *Sent) settledCanBeRead(ctx context.Context) (bool, error) {
	if !s.box.Target.Processor {
		return true, nil
	}
	ends, err := s.box.admin().ListEndOffsets(ctx, s.box.Target.Letters())
	if err != nil {
		return false, fmt.Errorf("list end offsets: %w", err)
	}
	return scan.AwaitStable(ctx, s.box.admin(), ends.Offsets(), time.Second)
}

// follow reads what came to tiers and dead letters since the last call.
func (s *Sent) follow(ctx context.Context) error {
	extents, err := scan.MeasureExisting(ctx, s.box.admin(), s.onward()...)
	if err != nil {
		return err
	}
	ranges := extents.From(func(topic string, p int32) (int64, bool) {
		at, ok := s.read[topic][p]
		return at, ok
	})
	err = s.box.read(ctx, ranges, func(r *kgo.Record, e *record.Envelope) error {
		if j, ok := s.journeys[journeyID(e)]; ok && e.Hop > j.hop {
			*j = journey{topic: r.Topic, partition: r.Partition, offset: r.Offset, hop: e.Hop}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("follow the redriven records: %w", err)
	}
	for topic := range maps.Keys(ranges) {
		for p, stretch := range ranges[topic] {
			s.mark(topic, p, stretch.To)
		}
	}
	return nil
}

// Wait asks for the outcome until nothing is pending or ctx ends; then it
// returns the last one it knows, and ctx's error. progress sees each.
func (s *Sent) Wait(ctx context.Context, progress func(Outcome)) (Outcome, error) {
	last := Outcome{Sent: s.Count, Pending: len(s.journeys)}
	pause := 100 * time.Millisecond
	for {
		now, err := s.Outcome(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return last, ctx.Err()
			}
			return last, err
		}
		last = now
		progress(now)
		if now.Pending == 0 {
			return now, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return last, ctx.Err()
		case <-timer.C:
		}
		pause = min(pause*3/2, 2*time.Second)
	}
}
