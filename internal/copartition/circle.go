package copartition

import (
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is what one member of the group asks for and claims.
type member struct {
	member     *kmsg.JoinGroupResponseMember
	topics     []string // sorted, each once
	owned      []kmsg.ConsumerMemberMetadataOwnedPartition
	generation int32 // of the claims; -1 if not known
}

// membersOf keeps the order of kgo: static names first, then member ids.
func membersOf(b *kgo.ConsumerBalancer) []member {
	var all []member
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		all = append(all, member{
			member:     m,
			topics:     slices.Compact(slices.Sorted(slices.Values(meta.Topics))),
			owned:      meta.OwnedPartitions,
			generation: meta.Generation,
		})
	})
	return all
}

// circle are the members that share topics, directly or through others, and so
// share one set of numbers.
type circle []member

// circles divides the members. Those without a topic are in none.
func circles(members []member) []circle {
	root := map[string]string{} // a topic leads to the one that stands for its circle
	find := func(topic string) string {
		for root[topic] != topic {
			topic = root[topic]
		}
		return topic
	}
	for _, m := range members {
		for _, topic := range m.topics {
			if _, ok := root[topic]; !ok {
				root[topic] = topic
			}
			root[find(topic)] = find(m.topics[0])
		}
	}
	var all []circle
	at := map[string]int{}
	for _, m := range members {
		if len(m.topics) == 0 {
			continue
		}
		r := find(m.topics[0])
		i, ok := at[r]
		if !ok {
			i = len(all)
			at[r], all = i, append(all, nil)
		}
		all[i] = append(all[i], m)
	}
	return all
}

// numbers is how many numbers all topics of the circle have.
func (c circle) numbers(counts map[string]int32) int32 {
	n := int32(math.MaxInt32)
	for _, m := range c {
		for _, topic := range m.topics {
			n = min(n, counts[topic])
		}
	}
	return n
}
