package copartition

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// TestEveryStep drives a group through joins, departures, restarts, sleepers
// and lost outcomes, in any order and before it has settled. Ownership is
// checked after every single round.
func TestEveryStep(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.Int32Range(1, 40).Draw(t, "partitions")
		g := newGroup(t, partitions, five...)
		var asleep []*node
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch action := rapid.SampledFrom([]string{"join", "leave", "restart", "sleep", "wake", "round", "settle"}).Draw(t, "action"); {
			case action == "join" || len(g.members) == 0:
				g.join(rapid.Bool().Draw(t, "static"), g.topics())
			case action == "leave":
				g.leave(rapid.IntRange(0, len(g.members)-1).Draw(t, "who"))
			case action == "restart": // during a rebalance: the broker knows the name, the process nothing
				n := rapid.SampledFrom(g.members).Draw(t, "who")
				n.holds, n.generation, n.stale = map[string][]int32{}, -1, false
			case action == "sleep":
				asleep = append(asleep, g.leave(rapid.IntRange(0, len(g.members)-1).Draw(t, "who")))
			case action == "wake":
				for _, n := range asleep {
					n.stale = true
				}
				g.members, asleep = append(g.members, asleep...), nil
			case action == "round":
				missed := map[*node]bool{}
				for _, n := range g.members {
					if rapid.Bool().Draw(t, "missed") {
						missed[n] = true
					}
				}
				g.round(missed)
			case action == "settle":
				g.settle(3) // two that move, one that finds nothing to move
				g.checkBalanced(int(partitions))
			}
		}
		if len(g.members) > 0 {
			g.settle(3)
			g.checkBalanced(int(partitions))
			before := g.owners()
			g.settle(1)
			if moves := g.moved(before); moves > 0 {
				t.Fatalf("%d numbers moved in a group at rest", moves)
			}
		}
	})
}

// TestJoinAndLeaveMoveLittle checks the number of moves and of rounds.
func TestJoinAndLeaveMoveLittle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 60).Draw(t, "partitions")
		g := newGroup(t, int32(partitions), five...)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			before := g.owners()
			if len(g.members) == 0 || rapid.Bool().Draw(t, "join") {
				g.join(rapid.Bool().Draw(t, "static"), g.topics())
				n := len(g.members)
				g.settle(2)
				if moves, most := g.moved(before), (partitions+n-1)/n; moves > most {
					t.Fatalf("%d numbers moved as member %d of %d partitions joined, at most %d may", moves, n, partitions, most)
				}
			} else {
				g.leave(rapid.IntRange(0, len(g.members)-1).Draw(t, "who"))
				if len(g.members) == 0 {
					continue
				}
				g.settle(1) // what the member left is free: one round hands it over
				if moves := g.moved(before); moves > 0 {
					t.Fatalf("%d numbers of members that stayed moved as one left", moves)
				}
			}
			g.checkBalanced(partitions)
		}
	})
}

// TestAnyClaims starts from claims that no run of this balancer makes, as after
// another balancer or a fault: the group is whole after one round and balanced
// after two.
func TestAnyClaims(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.Int32Range(0, 12).Draw(t, "partitions")
		g := newGroup(t, partitions, five...)
		for range rapid.IntRange(1, 6).Draw(t, "members") {
			n := g.join(rapid.Bool().Draw(t, "static"), g.topics())
			n.stale = true
			n.generation = rapid.Int32Range(-1, 3).Draw(t, "generation")
			n.holds = rapid.MapOf(
				rapid.SampledFrom(append([]string{"gone.v1"}, five...)),
				rapid.SliceOfDistinct(rapid.Int32Range(-1, 15), rapid.ID[int32]),
			).Draw(t, "holds")
		}
		g.settle(3)
		g.checkBalanced(int(partitions))
	})
}

// TestMixedTopics gives members topics of their own choice, as while a release
// with another tier is rolled out.
func TestMixedTopics(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := newGroup(t, 0)
		for _, topic := range five {
			if rapid.Bool().Draw(t, "exists") {
				g.counts[topic] = rapid.Int32Range(0, 12).Draw(t, "partitions")
			}
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch action := rapid.IntRange(0, 3).Draw(t, "action"); {
			case action == 0 && len(g.members) > 0:
				g.leave(rapid.IntRange(0, len(g.members)-1).Draw(t, "who"))
			case action == 1 && len(g.members) > 0: // a restart with other topics
				n := rapid.SampledFrom(g.members).Draw(t, "who")
				n.holds, n.topics, n.generation = map[string][]int32{}, someTopics(t), -1
			default:
				g.join(rapid.Bool().Draw(t, "static"), someTopics(t))
			}
			g.round(nil)
		}
		g.settle(3)
	})
}

func someTopics(t *rapid.T) []string {
	topics := rapid.SliceOfDistinct(rapid.SampledFrom(five), rapid.ID[string]).Draw(t, "topics")
	slices.Sort(topics)
	return topics
}

// TestDeterministic balances the same members twice; Go's maps would show.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 48, five...)
	for range 7 {
		g.join(false, g.topics())
		g.round(nil)
	}
	first := g.balance()
	for range 20 {
		if again := g.balance(); fmt.Sprint(again) != fmt.Sprint(first) {
			t.Fatalf("%v, then %v", first, again)
		}
	}
}

// TestGarbage: no bytes of a member make the leader panic.
func TestGarbage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID = "m"
		m.ProtocolMetadata = Balancer().JoinGroupMetadata(slices.Clone(five), map[string][]int32{five[0]: {0, 0, 1}}, 3)
		for range rapid.IntRange(0, 4).Draw(t, "flips") {
			at := rapid.IntRange(0, len(m.ProtocolMetadata)-1).Draw(t, "at")
			m.ProtocolMetadata[at] = rapid.Byte().Draw(t, "byte")
		}
		mb, topics, err := Balancer().MemberBalancer([]kmsg.JoinGroupResponseMember{m})
		if err != nil {
			return // refused, and said so
		}
		counts := map[string]int32{}
		for topic := range topics {
			counts[topic] = 4
		}
		if _, err := mb.(kgo.GroupMemberBalancerOrError).BalanceOrError(counts); err != nil {
			t.Fatal(err)
		}
	})
}
