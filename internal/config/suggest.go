package config

import "strings"

// DidYouMean returns a hint that names the candidate nearest to word, or "".
func DidYouMean(word string, candidates []string) string {
	if best, ok := near(word, candidates); ok {
		return didYouMean(best)
	}
	return ""
}

func didYouMean(word string) string { return ` (did you mean "` + word + `"?)` }

// near is the candidate that word was meant to be, if one is near enough.
func near(word string, candidates []string) (best string, ok bool) {
	least := 1 + len(word)/3
	for _, c := range candidates {
		if d := distance(word, c); d <= least && c != word {
			best, least, ok = c, d-1, true
		}
	}
	return best, ok
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to make a of b.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
