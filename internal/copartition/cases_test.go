package copartition

import (
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// said is what a member says as it joins.
type said struct {
	topics     []string
	owns       map[string][]int32
	generation int32
}

func TestRound(t *testing.T) {
	t.Parallel()
	two := []string{"source", "tier"}
	three := []string{"source", "tier", "tier2"}
	both := func(numbers ...int32) map[string][]int32 {
		return map[string][]int32{"source": numbers, "tier": numbers}
	}
	all := func(numbers ...int32) map[string][]int32 {
		return map[string][]int32{"source": numbers, "tier": numbers, "tier2": numbers}
	}
	none := map[string][]int32{}
	for name, c := range map[string]struct {
		counts  map[string]int32
		members []said
		want    []map[string][]int32
	}{
		"a new group gets ranges": {
			counts:  map[string]int32{"source": 5, "tier": 5},
			members: []said{{two, none, -1}, {two, none, -1}},
			want:    []map[string][]int32{both(0, 1, 2), both(3, 4)},
		},
		"what moves is with nobody first": {
			counts:  map[string]int32{"source": 4, "tier": 4},
			members: []said{{two, both(0, 1, 2, 3), 1}, {two, none, -1}},
			want:    []map[string][]int32{both(0, 1), none},
		},
		"a member that slept loses against a newer claim, which stays": {
			counts:  map[string]int32{"source": 4, "tier": 4},
			members: []said{{two, both(0, 1), 5}, {two, both(0, 1), 7}, {two, both(2, 3), 7}},
			want:    []map[string][]int32{none, both(0, 1), both(2)},
		},
		"claims of the same generation are revoked by both": {
			counts:  map[string]int32{"source": 2, "tier": 2},
			members: []said{{two, both(0), 7}, {two, both(0, 1), 7}},
			want:    []map[string][]int32{none, both(1)},
		},
		"a number that is split is with nobody first": {
			counts:  map[string]int32{"source": 2, "tier": 2},
			members: []said{{two, map[string][]int32{"source": {0}, "tier": {1}}, 7}, {two, map[string][]int32{"source": {1}, "tier": {0}}, 7}},
			want:    []map[string][]int32{none, none},
		},
		"an older claim of a topic that the newest claim lacks is revoked first": {
			counts:  map[string]int32{"source": 2, "tier": 2},
			members: []said{{two, map[string][]int32{"source": {0, 1}}, 7}, {two, map[string][]int32{"tier": {0}}, 5}},
			want:    []map[string][]int32{none, none},
		},
		"a source that grew is assigned as far as its tiers go": {
			counts:  map[string]int32{"source": 6, "tier": 4},
			members: []said{{two, both(0, 1), 3}, {two, both(2, 3), 3}},
			want:    []map[string][]int32{both(0, 1), both(2, 3)},
		},
		"a tier that is ahead of its source waits for it": {
			counts:  map[string]int32{"source": 2, "tier": 4},
			members: []said{{two, none, -1}},
			want:    []map[string][]int32{both(0, 1)},
		},
		"a topic that is missing stops all": {
			counts:  map[string]int32{"source": 4},
			members: []said{{two, both(0, 1, 2, 3), 3}},
			want:    []map[string][]int32{none},
		},
		"a topic that was added follows its number at once": {
			counts:  map[string]int32{"source": 2, "tier": 2, "tier2": 2},
			members: []said{{three, both(0, 1), 3}},
			want:    []map[string][]int32{all(0, 1)},
		},
		"a topic that nobody wants any more holds nothing back": {
			counts:  map[string]int32{"source": 2, "tier": 2},
			members: []said{{two, map[string][]int32{"gone": {0, 1}}, 7}, {two, none, -1}},
			want:    []map[string][]int32{both(0), both(1)},
		},
		"while another tier is rolled out, a number is with one member": {
			counts:  map[string]int32{"source": 4, "tier": 4, "tier2": 4},
			members: []said{{two, both(0, 1), 3}, {three, none, -1}},
			want:    []map[string][]int32{both(0, 1), all(2, 3)},
		},
		"members with no topic in common do not share numbers": {
			counts:  map[string]int32{"source": 2, "tier": 2, "other": 3},
			members: []said{{two, none, -1}, {[]string{"other"}, none, -1}, {nil, none, -1}},
			want:    []map[string][]int32{both(0, 1), {"other": {0, 1, 2}}, none},
		},
		"a static member restarted amid a rebalance finds its numbers": {
			counts:  map[string]int32{"source": 6, "tier": 6},
			members: []said{{two, both(4, 5), 3}, {two, none, -1}, {two, both(0, 1), 3}},
			want:    []map[string][]int32{both(4, 5), both(2, 3), both(0, 1)},
		},
		"more members than numbers": {
			counts:  map[string]int32{"source": 1, "tier": 1},
			members: []said{{two, none, -1}, {two, both(0), 3}},
			want:    []map[string][]int32{none, both(0)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var joined []kmsg.JoinGroupResponseMember
			for i, m := range c.members {
				r := kmsg.NewJoinGroupResponseMember()
				r.MemberID = string(rune('a' + i))
				r.ProtocolMetadata = Balancer().JoinGroupMetadata(slices.Clone(m.topics), clone(m.owns), m.generation)
				joined = append(joined, r)
			}
			plan := balance(t, joined, c.counts)
			for i, want := range c.want {
				if got := plan[joined[i].MemberID]; !reflect.DeepEqual(got, want) {
					t.Errorf("member %s got %v, want %v", joined[i].MemberID, got, want)
				}
			}
		})
	}
}

// TestOldMetadata: a member that joins without owned partitions and generation,
// as version 0 has it, is a member without claims.
func TestOldMetadata(t *testing.T) {
	t.Parallel()
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{"tier", "source"}
	m := kmsg.NewJoinGroupResponseMember()
	m.MemberID, m.ProtocolMetadata = "a", meta.AppendTo(nil)
	plan := balance(t, []kmsg.JoinGroupResponseMember{m}, map[string]int32{"source": 1, "tier": 1})
	if want := map[string][]int32{"source": {0}, "tier": {0}}; !reflect.DeepEqual(plan["a"], want) {
		t.Errorf("got %v, want %v", plan["a"], want)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	whole, part := wholeAndPart(map[string][]int32{"source": {2, 0, 1}, "tier": {1, 2}, "other": {7}}, "source", "tier")
	if !slices.Equal(whole, []int32{1, 2}) || !slices.Equal(part, []int32{0}) {
		t.Errorf("whole %v, part %v", whole, part)
	}
}
