package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"holdfast.internal/internal/topics"
)

// The cases of size: what waits for a worker when it starts. They run only
// when they are named, because filling the topics takes a while.
const (
	backlog = "backlog" // in the source
	parked  = "parked"  // in the tiers, not due for an hour; beside them some new records in the source
	allDue  = "due"     // in the tiers, all due at the same time
)

// Goals of size.
const (
	rssGoal    = 256.0           // MiB, at the highest
	drainGoal  = 0.9             // of the steady rate
	firstGoal  = 5 * time.Second // from the assignment to the first send, with a million records parked
	latestGoal = time.Second     // from the due time to the first send
)

// scale is one case of size.
type scale struct {
	Case    string
	Records int // that wait
	Keys    int // that they are spread over
	Through string
}

// scales lists the cases of size that are called by name.
func scales(o options) []scale {
	var called []scale
	for _, name := range []string{backlog, parked, allDue} {
		if name != o.only {
			continue
		}
		s := scale{Case: name, Records: o.records, Keys: o.keys, Through: o.through}
		if s.Keys == 0 && name == backlog {
			s.Keys = keys
		} else if s.Keys == 0 { // the most that an index can cost
			s.Keys = s.Records
		}
		called = append(called, s)
	}
	return called
}

// partitionsAtScale is how many partitions each topic of a case of size has.
const partitionsAtScale = 12

// freshRecords lie in the source of a case with parked records: the first of
// them cannot go before the tiers are known.
const freshRecords = 1000

// size fills the topics and looks at a worker that meets them.
func (b *bed) size(ctx context.Context, s scale) (sized, error) {
	sink := topics.Sink{Name: fmt.Sprintf("bench-%s-%s", b.stamp, s.Case), In: fmt.Sprintf("bench.%s-%s.v1", b.stamp, s.Case), Tiers: tiers()}
	if err := b.make(ctx, sink, partitionsAtScale); err != nil {
		return sized{}, err
	}
	f, err := newFiller(b, s, sink)
	if err != nil {
		return sized{}, err
	}
	defer f.client.Close()
	began := time.Now()
	j := job{Brokers: b.brokers, Source: sink.In, Sink: sink.Name, InFlight: 64, Ordered: true, Records: s.Records}
	if b.profile != "" {
		j.Profile = filepath.Join(b.profile, s.Case)
	}
	if s.Through == throughHTTP {
		j.Vendor = b.vendor + "/0s"
	}
	switch s.Case {
	case backlog:
		err = f.backlog(ctx)
	case parked:
		j.Records = freshRecords
		err = f.parked(ctx, began.Add(time.Hour), freshRecords)
	case allDue:
		j.Due = began.Add(dueAfter(s.Records)).Truncate(time.Millisecond)
		err = f.parked(ctx, j.Due, 0)
	}
	if err != nil {
		return sized{}, fmt.Errorf("fill: %w", err)
	}
	say("%s: %d records to %d keys are there after %s", s.Case, s.Records, s.Keys, time.Since(began).Round(time.Second))
	return watch(ctx, s, j)
}

// dueAfter is the time that it takes to fill the tiers and to start a worker
// that knows what lies there, amply.
func dueAfter(records int) time.Duration {
	return 30*time.Second + time.Duration(records)*70*time.Microsecond
}
