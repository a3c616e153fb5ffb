package copartition

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// group is a group coordinator and its members, in rounds: all join with what
// they hold, the leader balances, each takes what it is given.
type group struct {
	t          fataler
	counts     map[string]int32
	generation int32
	names      int
	members    []*node
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// node is one member, as its client sees it.
type node struct {
	name       string
	static     bool
	topics     []string
	holds      map[string][]int32
	generation int32
	// stale is a member that slept while the group gave its share away, and
	// has not learned so. No balancer can keep it from working on that share.
	stale bool
}

func newGroup(t fataler, partitions int32, topics ...string) *group {
	g := &group{t: t, counts: map[string]int32{}}
	for _, topic := range topics {
		g.counts[topic] = partitions
	}
	return g
}

func (g *group) topics() []string { return slices.Sorted(maps.Keys(g.counts)) }

// join adds a member, which claims nothing yet.
func (g *group) join(static bool, topics []string) *node {
	g.names++
	n := &node{name: fmt.Sprintf("m%03d", g.names), static: static, topics: topics, holds: map[string][]int32{}, generation: -1}
	g.members = append(g.members, n)
	return n
}

func (g *group) leave(i int) *node {
	n := g.members[i]
	g.members = slices.Delete(g.members, i, i+1)
	return n
}

// round is one rebalance. A member in missed joins, but does not hear its
// outcome, so that it keeps what it holds. It reports whether anybody revoked
// something, which is when a further round follows.
func (g *group) round(missed map[*node]bool) (again bool) {
	g.t.Helper()
	plan := g.balance()
	g.generation++
	before := map[*node]map[string][]int32{}
	for _, n := range g.members {
		before[n] = n.holds
	}
	for _, n := range g.members {
		g.checkAdded(n, plan[n.name], before)
		n.generation = g.generation
		if missed[n] {
			again = true
			continue
		}
		again = again || len(minus(n.holds, plan[n.name])) > 0
		n.holds, n.stale = plan[n.name], false
	}
	g.check()
	return again
}

// balance goes through the bytes that members and leader exchange.
func (g *group) balance() map[string]map[string][]int32 {
	g.t.Helper()
	var joined []kmsg.JoinGroupResponseMember
	for _, static := range []bool{true, false} { // the order that kgo promises
		for _, n := range g.members {
			if n.static != static {
				continue
			}
			m := kmsg.NewJoinGroupResponseMember()
			m.MemberID = n.name
			if static {
				m.InstanceID = new(n.name)
			}
			m.ProtocolMetadata = Balancer().JoinGroupMetadata(slices.Clone(n.topics), clone(n.holds), n.generation)
			joined = append(joined, m)
		}
	}
	return balance(g.t, joined, g.counts)
}

func balance(t fataler, joined []kmsg.JoinGroupResponseMember, counts map[string]int32) map[string]map[string][]int32 {
	t.Helper()
	mb, topics, err := Balancer().MemberBalancer(joined)
	if err != nil {
		t.Fatalf("member balancer: %v", err)
	}
	known := map[string]int32{}
	for topic := range topics {
		if n, ok := counts[topic]; ok {
			known[topic] = n
		}
	}
	into, err := mb.(kgo.GroupMemberBalancerOrError).BalanceOrError(known)
	if err != nil {
		t.Fatalf("balance: %v", err)
	}
	plan := map[string]map[string][]int32{}
	for _, a := range into.IntoSyncAssignment() {
		if plan[a.MemberID], err = Balancer().ParseSyncAssignment(a.MemberAssignment); err != nil {
			t.Fatalf("parse: %v", err)
		}
	}
	return plan
}

// checkAdded fails if a member is given what another still holds.
func (g *group) checkAdded(n *node, plan map[string][]int32, before map[*node]map[string][]int32) {
	g.t.Helper()
	added := minus(plan, before[n])
	for other, holds := range before {
		if other == n {
			continue
		}
		for topic, partitions := range added {
			for _, p := range partitions {
				if slices.Contains(holds[topic], p) {
					g.t.Fatalf("%s was given %s/%d while %s held it", n.name, topic, p, other.name)
				}
			}
		}
	}
}

// check fails if a number is with two members that share a topic, or in part
// only.
func (g *group) check() {
	g.t.Helper()
	for i, n := range g.members {
		if n.stale {
			continue
		}
		own, part := wholeAndPart(n.holds, n.topics...)
		if len(part) > 0 {
			g.t.Fatalf("%s holds part of %v: %v", n.name, part, n.holds)
		}
		for _, m := range g.members[i+1:] {
			others, _ := wholeAndPart(m.holds, m.topics...)
			if both := common(own, others); !m.stale && len(common(n.topics, m.topics)) > 0 && len(both) > 0 {
				g.t.Fatalf("%v are with %s and %s", both, n.name, m.name)
			}
		}
	}
}

// settle runs rounds until nobody revokes anything, and fails above most.
func (g *group) settle(most int) {
	g.t.Helper()
	for range most {
		if !g.round(nil) {
			return
		}
	}
	g.t.Fatalf("not settled after %d rounds", most)
}

// checkBalanced fails unless the first n numbers are all owned, within one.
func (g *group) checkBalanced(n int) {
	g.t.Helper()
	least, most, sum := n, 0, 0
	for _, m := range g.members {
		whole, _ := wholeAndPart(m.holds, m.topics...)
		least, most, sum = min(least, len(whole)), max(most, len(whole)), sum+len(whole)
	}
	if sum != n || most-least > 1 {
		g.t.Fatalf("%d of %d numbers owned, shares from %d to %d", sum, n, least, most)
	}
}

// owners says who holds which number.
func (g *group) owners() map[int32]string {
	by := map[int32]string{}
	for _, m := range g.members {
		whole, _ := wholeAndPart(m.holds, m.topics...)
		for _, p := range whole {
			by[p] = m.name
		}
	}
	return by
}

// moved counts the numbers whose owner stayed a member, but changed.
func (g *group) moved(before map[int32]string) int {
	now, moves := g.owners(), 0
	for p, owner := range before {
		stays := slices.ContainsFunc(g.members, func(n *node) bool { return n.name == owner })
		if stays && now[p] != owner {
			moves++
		}
	}
	return moves
}

func clone(m map[string][]int32) map[string][]int32 {
	c := map[string][]int32{}
	for topic, ps := range m {
		c[topic] = slices.Clone(ps)
	}
	return c
}

func common[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(x T) bool { return !slices.Contains(b, x) })
}

// minus is what is in a but not in b.
func minus(a, b map[string][]int32) map[string][]int32 {
	rest := map[string][]int32{}
	for topic, ps := range a {
		for _, p := range ps {
			if !slices.Contains(b[topic], p) {
				rest[topic] = append(rest[topic], p)
			}
		}
	}
	return rest
}

var five = []string{"crm.invoice.v1", "redrive.s", "retry.s.1m", "retry.s.2m", "retry.s.4m"}

var _ fataler = (*testing.T)(nil)
