package watch

import (
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"holdfast.internal/internal/topics"
)

// Part is a partition that this process owns, as its worker sees it.
type Part struct {
	Topic     string
	Partition int32
	// Next is the first offset that was not read; -1 if nothing ever was.
	Next int64
	// Held are the records that were read and are not settled.
	Held int64
	// Oldest is when the oldest of these was written, or, in a tier, since when
	// the first one is due. Zero where none is, or nobody knows.
	Oldest time.Time
}

// Group is a consumer group of this process.
type Group struct {
	// Name is that of the sink or the processor.
	Name string
	// Source is the topic that it reads.
	Source string
	// Tiers are the delays of a sink; a processor has none.
	Tiers []time.Duration
	// Parts says how things stand. It is called every few seconds.
	Parts func() []Part
}

// kind labels a topic: of a tier people expect that records wait in it.
type kind string

const (
	live  kind = "live"
	retry kind = "retry"
	dead  kind = "dlq"
)

// topics lists what the group reads, by kind. A redriven record is to go at once.
func (g *Group) topics() map[string]kind {
	all := map[string]kind{g.Source: live, topics.Redrive(g.Name): live}
	for _, delay := range g.Tiers {
		all[topics.Retry(g.Name, delay)] = retry
	}
	return all
}

// owned are the partition numbers of the source that are this process's.
func (g *Group) owned(parts []Part) []int32 {
	var nums []int32
	for _, p := range parts {
		if p.Topic == g.Source {
			nums = append(nums, p.Partition)
		}
	}
	return nums
}

// place names a partition.
type place struct {
	topic     string
	partition int32
}

// behind is how far a group is behind one topic.
type behind struct {
	records int64
	since   time.Time // the oldest record that should have gone; zero for none
}

// measure adds up the partitions of one group by topic. peeked tells what is
// known of partitions that stand still.
func measure(parts []Part, starts, ends kadm.ListedOffsets, peeked map[place]glimpse) map[string]behind {
	sum := map[string]behind{}
	for _, p := range parts {
		b := sum[p.Topic]
		b.records += p.Held
		b.since = earlier(b.since, p.Oldest)
		if from, to := p.unread(starts, ends); from < to {
			if g, ok := peeked[place{p.Topic, p.Partition}]; !ok || !g.covers(from, to) {
				b.records += to - from
			} else if !g.empty {
				b.records += to - from
				b.since = earlier(b.since, g.written)
			}
		}
		sum[p.Topic] = b
	}
	return sum
}

// unread is the stretch of a partition that was not read yet.
func (p *Part) unread(starts, ends kadm.ListedOffsets) (from, to int64) {
	start, _ := starts.Lookup(p.Topic, p.Partition)
	end, ok := ends.Lookup(p.Topic, p.Partition)
	if !ok || end.Err != nil || start.Err != nil {
		return 0, 0
	}
	return max(p.Next, start.Offset), end.Offset
}

// earlier is the earlier of two times that are known.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
