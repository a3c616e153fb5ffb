package quota

import (
	"cmp"
	"slices"
)

// spare is the part of a rate that nobody is given, so that whoever joins has
// something in the next round, before the others have let go of theirs.
const spare = 0.01

// asker is who wants a part of a limit.
type asker struct {
	id string
	// want is in tokens per second; 0 for one that is idle.
	want float64
	// need is the cost of the largest record: no less burst is of use.
	need float64
}

// divide gives each asker its part of a limit: max-min fair, nobody less than
// it wants while another has more than the same; what is left goes to all in
// proportion to what they want, a little to those who want nothing. The burst
// covers everybody's need and follows the rate beyond that; who gets no rate
// gets no burst. The needs must fit into the burst.
func divide(total share, askers []asker) map[string]share {
	parts := make(map[string]share, len(askers))
	rates := fill(total.Rate*(1-spare), askers)
	var rate, need, largest float64
	for _, a := range askers {
		if rates[a.id] > 0 {
			rate += rates[a.id]
			need += a.need
			largest = max(largest, a.need)
		}
	}
	extra := total.Burst - need
	if extra >= largest { // a newcomer can send, too
		extra -= largest
	}
	for _, a := range askers {
		if r := rates[a.id]; r > 0 {
			parts[a.id] = share{Rate: r, Burst: a.need + extra*r/rate}
		}
	}
	return parts
}

// fill is the max-min fair division of pool, all of it.
func fill(pool float64, askers []asker) map[string]float64 {
	rates := make(map[string]float64, len(askers))
	byWant := slices.SortedFunc(slices.Values(askers), func(a, b asker) int { return cmp.Compare(a.want, b.want) })
	left, wanted := pool, 0.0
	for i, a := range byWant {
		rates[a.id] = min(a.want, left/float64(len(byWant)-i))
		left -= rates[a.id]
		wanted += a.want
	}
	if left <= pool*1e-9 {
		return rates
	}
	// An idle one weighs as much as one that wants a tenth of the average.
	weight := func(a asker) float64 { return a.want + max(wanted, pool)/float64(10*len(askers)) }
	var weights float64
	for _, a := range askers {
		weights += weight(a)
	}
	for _, a := range askers {
		rates[a.id] += left * weight(a) / weights
	}
	return rates
}
