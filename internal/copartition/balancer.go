package copartition

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Protocol is the name of the balancer, which all members of a group share.
const Protocol = "holdfast-copartition-v1"

// Balancer returns the balancer, to be the only one in kgo.Balancers. It has no
// state, and any number of clients may use it.
func Balancer() kgo.GroupBalancer { return balancer{} }

type balancer struct{}

func (balancer) ProtocolName() string { return Protocol }

func (balancer) IsCooperative() bool { return true }

// JoinGroupMetadata tells the leader what this member wants and owns.
func (balancer) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3 // owned partitions since 1, generation since 2, rack since 3
	meta.Topics = topics
	meta.Generation = generation
	for _, topic := range slices.Sorted(maps.Keys(owned)) {
		part := kmsg.NewConsumerMemberMetadataOwnedPartition()
		part.Topic, part.Partitions = topic, owned[topic]
		meta.OwnedPartitions = append(meta.OwnedPartitions, part)
	}
	return meta.AppendTo(nil)
}

func (balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

func (b balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	if err != nil {
		return nil, nil, err
	}
	return cb, cb.MemberTopics(), nil
}

// Balance is one round. The plan is already what this round may assign:
// kgo's AdjustCooperative would hold back single partitions of a number that
// moves and leave the others, which splits it.
func (balancer) Balance(b *kgo.ConsumerBalancer, counts map[string]int32) kgo.IntoSyncAssignment {
	plan := b.NewPlan()
	for _, c := range circles(membersOf(b)) {
		claims := c.claims(c.numbers(counts))
		for number, to := range share(claims, len(c)) {
			if !claims[number].clearFor(to) {
				continue
			}
			for _, topic := range c[to].topics {
				plan.AddPartition(c[to].member, topic, int32(number))
			}
		}
	}
	return plan
}
