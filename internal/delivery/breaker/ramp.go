package breaker

// ramp is the way back to full concurrency.
type ramp struct {
	limit int // attempts in flight; 0: there is no ramp
	round int // answered at this limit
	tally     // since the probe, which is the first outcome
}

func (r *ramp) on() bool { return r.limit > 0 }

// answered counts an answer and reports whether the ramp is over. Rounds count
// answers alone, so that a vendor that fails now and then passes the ramp too.
func (r *ramp) answered(concurrency int) (over bool) {
	r.all++
	if r.round++; r.round < r.limit {
		return false
	}
	r.round = 0
	r.limit *= 2
	return r.limit >= concurrency
}

func (r *ramp) failed() {
	r.all++
	r.systemic++
}
