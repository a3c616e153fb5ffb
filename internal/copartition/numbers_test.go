package copartition

import (
	"maps"
	"slices"
)

// wholeAndPart returns, in order, the numbers of an assignment that are there of all
// the topics, and those that are there of some only. The balancer never gives
// part of a number of the topics a member asked for; but a broker gives a
// static member that comes back with more topics its share as it was.
func wholeAndPart(assigned map[string][]int32, topics ...string) (whole, part []int32) {
	count := map[int32]int{}
	for _, topic := range topics {
		for _, p := range assigned[topic] {
			count[p]++
		}
	}
	for _, p := range slices.Sorted(maps.Keys(count)) {
		if count[p] == len(topics) {
			whole = append(whole, p)
		} else {
			part = append(part, p)
		}
	}
	return whole, part
}
