package dlq

import (
	"context"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
)

// Stale says what an act does with stale letters: those of whose key a later
// record was delivered meanwhile.
type Stale string

// What may be done with stale letters. Where nobody can tell whether a letter
// is stale, skip leaves it out too: sent, it might undo what came after it.
const (
	StaleUnasked Stale = "" // nobody looks
	StaleSend    Stale = "send"
	StaleSkip    Stale = "skip"
)

// StaleBudget bounds what a plan reads to find stale letters, unless the caller says otherwise.
func StaleBudget() scan.Budget {
	return scan.Budget{Records: 5_000_000, Bytes: 2 << 30, Time: 20 * time.Second}
}

const reasonStale = "a newer record of the same key was delivered (--allow-stale sends it all the same)"

func reasonDoubt(why string) string {
	return "nobody can tell whether a newer record of the same key was delivered: " + why + " (--allow-stale sends it all the same)"
}

// staleness finds the stale letters of a plan. A later record of a key was
// delivered if its offset in the source is settled, and it lies neither in a
// tier, nor on the redrive topic, nor among the dead letters. The offsets were
// asked for before any of these was read: a record is written to where it goes
// next before it is settled where it was.
type staleness struct {
	box     *Box
	settled func(topic string, partition int32) offsets.Settled
	extents scan.Extents // of source, tiers and redrive
	budget  scan.Budget  // of each partition, for the source and once more for the rest
}

// lane is what is known of one key.
type lane struct {
	newest    int64 // origin of the plan's last letter
	delivered int64 // last record of the source that is proved to be delivered; -1 for none
}

// watchStale asks for the offsets, before anything else is read; nil where
// nobody wants to know. A processor has no such letters: it keeps no order.
func (b *Box) watchStale(ctx context.Context, s Selection) (*staleness, error) {
	if s.Stale == StaleUnasked || b.Target.Processor {
		return nil, nil
	}
	settled, err := Settled(ctx, b.Client, b.Target.Group())
	if err != nil {
		return nil, err
	}
	return &staleness{box: b, settled: settled, budget: s.StaleBudget}, nil
}

// begin measures what there is to read, and divides the budget by partitions.
func (s *staleness) begin(ctx context.Context, partitions int) error {
	var err error
	s.extents, err = scan.MeasureExisting(ctx, s.box.admin(), append(s.box.Target.Retry(), s.box.Target.Redrive(), s.box.Target.Source)...)
	n := int64(max(1, partitions))
	s.budget.Records = (s.budget.Records + n - 1) / n
	s.budget.Bytes = (s.budget.Bytes + n - 1) / n
	s.budget.Time /= time.Duration(n)
	return err
}

// judge looks at the chosen letters of one partition. letters are all that lie
// in its dead-letter topic.
func (s *staleness) judge(ctx context.Context, partition int32, chosen, letters []*group) error {
	source := s.box.Target.Source
	settled, stretch := s.settled(source, partition), s.extents[source][partition]
	lanes := map[string]*lane{}
	var compared []*group
	from := int64(math.MaxInt64)
	for _, g := range chosen {
		switch {
		case g.name == nil: // no key, nothing follows
			continue
		case g.origin.Topic != source || g.origin.Partition != partition:
			g.doubt = "its origin is not on " + source
			continue
		case settled.Head() < 0:
			g.doubt = s.box.Target.Group() + " has no committed offset there"
			continue
		case g.origin.Offset+1 < stretch.From:
			g.doubt = "records after it are gone from " + source
		}
		compared = append(compared, g)
		if lanes[string(g.name)] == nil {
			lanes[string(g.name)] = &lane{delivered: -1}
		}
		l := lanes[string(g.name)]
		l.newest = max(l.newest, g.origin.Offset)
		from = min(from, g.origin.Offset+1)
	}
	if len(compared) == 0 {
		return nil
	}
	elsewhere, partial, err := s.elsewhere(ctx, partition, lanes, letters)
	if err == nil && partial == "" {
		ranges := scan.Ranges{}
		ranges.Set(source, partition, scan.Range{From: max(from, stretch.From), To: min(settled.End(), stretch.To)})
		partial, err = s.follow(ctx, ranges, lanes, func(offset int64) bool { return settled.Has(offset) && !elsewhere[offset] })
	}
	for _, g := range compared {
		switch g.stale = lanes[string(g.name)].delivered > g.origin.Offset; {
		case g.stale:
			g.doubt = ""
		case partial != "":
			g.doubt = partial
		}
	}
	return err
}

// elsewhere finds the records of the lanes that left the source and were not
// delivered, by their offset there.
func (s *staleness) elsewhere(ctx context.Context, partition int32, lanes map[string]*lane, letters []*group) (map[int64]bool, string, error) {
	found := map[int64]bool{}
	for _, g := range letters {
		// What was redriven or released lies in a topic that is read below, or
		// was delivered.
		if g.origin.Topic == s.box.Target.Source && g.state != Redriven && g.state != Released {
			found[g.origin.Offset] = true
		}
	}
	ranges := s.extents.From(func(topic string, p int32) (int64, bool) { return s.settled(topic, p).Head(), true }).Only(partition)
	delete(ranges, s.box.Target.Source)
	result, err := s.box.Scanner.Read(ctx, ranges, s.budget, func(r *kgo.Record) error {
		if r.Key == nil || lanes[string(r.Key)] == nil || s.settled(r.Topic, r.Partition).Has(r.Offset) {
			return nil
		}
		if e := record.Read(r, record.FromHoldfast); e.Event.Origin.Topic == s.box.Target.Source {
			found[e.Event.Origin.Offset] = true
		}
		return nil
	})
	return found, result.Partial, err
}

// follow reads the source until every lane is known to be overtaken, or to its
// end.
func (s *staleness) follow(ctx context.Context, ranges scan.Ranges, lanes map[string]*lane, delivered func(offset int64) bool) (partial string, err error) {
	open := len(lanes)
	result, err := s.box.Scanner.Read(ctx, ranges, s.budget, func(r *kgo.Record) error {
		if r.Key == nil || lanes[string(r.Key)] == nil || !delivered(r.Offset) {
			return nil
		}
		l := lanes[string(r.Key)]
		if l.delivered <= l.newest && r.Offset > l.newest {
			open--
		}
		if l.delivered = r.Offset; open == 0 {
			return scan.ErrStop
		}
		return nil
	})
	return result.Partial, err
}
