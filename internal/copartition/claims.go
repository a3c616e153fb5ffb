package copartition

import "slices"

// claim is one member's word that it owns a number, of some topics at least.
type claim struct {
	by         int // place in the circle
	generation int32
	topics     []string
}

// claims are all claims of one number, in the order of the members.
type claims []claim

// claims reads who claims which of the first n numbers. Claims of topics that
// nobody wants any more do not count: they are revoked by themselves.
func (c circle) claims(n int32) []claims {
	wanted := map[string]bool{}
	for _, m := range c {
		for _, topic := range m.topics {
			wanted[topic] = true
		}
	}
	all := make([]claims, n)
	for i, m := range c {
		for _, o := range m.owned {
			if !wanted[o.Topic] {
				continue
			}
			for _, p := range o.Partitions {
				if p >= 0 && p < n {
					all[p] = all[p].with(i, m.generation, o.Topic)
				}
			}
		}
	}
	return all
}

// with adds a topic to the claim of the member that was added last, or a new
// claim.
func (cs claims) with(by int, generation int32, topic string) claims {
	if last := len(cs) - 1; last >= 0 && cs[last].by == by {
		cs[last].topics = append(cs[last].topics, topic)
		return cs
	}
	return append(cs, claim{by: by, generation: generation, topics: []string{topic}})
}

// owner is the member with the newest claim; among equals the one with more
// topics, then the first. It is -1 if nobody claims the number.
func (cs claims) owner() int {
	if len(cs) == 0 {
		return -1
	}
	best := cs[0]
	for _, c := range cs[1:] {
		if c.generation > best.generation || c.generation == best.generation && len(c.topics) > len(best.topics) {
			best = c
		}
	}
	return best.by
}

// clearFor reports whether a member may have the number in this round: nobody
// else claims a topic of it, unless the member's own claim of it is newer.
//
// A claim as new as the member's counts against it. It comes from one that
// joined with a claim of old, missed the outcome of that round, and joins again
// with the same claim under the generation of the round it missed.
func (cs claims) clearFor(member int) bool {
	var own claim
	if i := slices.IndexFunc(cs, func(c claim) bool { return c.by == member }); i >= 0 {
		own = cs[i]
	}
	for _, c := range cs {
		if c.by == member {
			continue
		}
		for _, topic := range c.topics {
			if own.generation <= c.generation || !slices.Contains(own.topics, topic) {
				return false
			}
		}
	}
	return true
}
