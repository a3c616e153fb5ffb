package copartition

import (
	"cmp"
	"slices"
)

// share says who is to own each number in the end. Shares differ by one at
// most, and as many numbers as that allows stay where they are: the larger
// shares go to those who own most, and what is above a share is taken from its
// upper end. So the next round, which sees what this one withheld as free,
// moves nothing again.
func share(numbers []claims, members int) []int {
	quota := quotas(numbers, members)
	to := make([]int, len(numbers))
	var free []int
	for number, cs := range numbers {
		to[number] = cs.owner()
		if to[number] >= 0 && quota[to[number]] > 0 {
			quota[to[number]]--
		} else {
			free = append(free, number)
		}
	}
	next := 0
	for _, number := range free {
		for quota[next] == 0 {
			next++
		}
		to[number] = next
		quota[next]--
	}
	return to
}

// quotas is how many numbers each member is to own.
func quotas(numbers []claims, members int) []int {
	owned := make([]int, members)
	for _, cs := range numbers {
		if owner := cs.owner(); owner >= 0 {
			owned[owner]++
		}
	}
	order := make([]int, members)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(owned[b], owned[a]) })
	quota := make([]int, members)
	for place, member := range order {
		quota[member] = len(numbers) / members
		if place < len(numbers)%members {
			quota[member]++
		}
	}
	return quota
}
