package delivery

import (
	"slices"
	"time"

	"holdfast.internal/internal/quota"
)

// request is one that an attempt in flight wants to send, and that waits for
// tokens. Who waits goes before what is picked next: else all records would
// begin and none would end.
type request struct {
	gate     *gate
	endpoint *endpoint // nil for none
	cost     float64
	done     chan struct{} // closed when it may go, or will not
	err      error
}

// bill is what a request takes of one bucket.
type bill struct {
	bucket *quota.Bucket // nil for none
	tokens float64
}

// The places of bills.
const (
	ofSink = iota
	ofTenant
	ofEndpoint
)

// ask returns nil if a request may go now, else what it has to wait for.
func (s *scheduler) ask(g *gate, endpoint string, cost float64) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if g.unanswered.cost > 0 { // it was taken, or no further one would be made
		g.Sent()
		g.taken()
	}
	r := request{gate: g, cost: cost, endpoint: s.endpointOf(g.tenant, endpoint)}
	if s.heldBack(&r, now) <= 0 && s.spend(&r, now) == nil {
		return nil
	}
	waits := r
	waits.done = make(chan struct{})
	if s.refuse(&waits, s.atGates(now), now) { // at once, so it keeps what was paid
		return &waits
	}
	g.done() // what waits holds nothing that others could have
	g.credit = 0
	s.line = append(s.line, &waits)
	s.serve(now)
	return &waits
}

// quit takes a request out of the line whose attempt has ended.
func (s *scheduler) quit(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.line, r); i >= 0 { // else it was let go at the last moment
		s.line = slices.Delete(s.line, i, i+1)
		s.serve(time.Now())
	}
}

// serve lets those in line go, in their order, for which there are tokens. Who
// waits for one bucket keeps nobody from another.
func (s *scheduler) serve(now time.Time) {
	if len(s.line) == 0 && len(s.scarce) == 0 {
		return
	}
	s.scarce = s.scarce[:0]
	waiting, atGates := s.line[:0], 0
	for _, r := range s.line {
		held := s.heldBack(r, now)
		switch {
		case s.refuse(r, atGates, now):
			continue
		case held > 0:
			s.alarmAt(now.Add(held))
			if r.endpoint.held(now) {
				atGates++
			}
		case s.spend(r, now) == nil:
			close(r.done)
			continue
		}
		waiting = append(waiting, r)
	}
	clear(s.line[len(waiting):])
	s.line = waiting
	if len(s.turns) > 0 {
		s.work.Signal()
	}
}

// refuse puts a request off that is held for longer than its slot is kept, and
// reports whether it did. For the sink and its tenant that is the attempt's time.
// For one endpoint it is less, and nothing at all beside half of the slots:
// others could use them.
func (s *scheduler) refuse(r *request, atGates int, now time.Time) bool {
	wait, patience := s.holdOf(r.gate.tenant, now), atGate
	if 2*(atGates+1) > s.cfg.Concurrency {
		patience = 0
	}
	switch e := r.endpoint; {
	case wait > s.cfg.Timeout:
	case e.held(now) && e.hold.until.Sub(now) > patience:
		wait = e.putOff(now)
	default:
		return false
	}
	r.err = limited(wait)
	close(r.done)
	return true
}

// atGates is how many slots wait for held endpoints.
func (s *scheduler) atGates(now time.Time) (n int) {
	for _, r := range s.line {
		if r.endpoint.held(now) {
			n++
		}
	}
	return n
}

// heldBack is how long holds keep a request yet.
func (s *scheduler) heldBack(r *request, now time.Time) time.Duration {
	wait := s.holdOf(r.gate.tenant, now)
	if r.endpoint.held(now) {
		wait = max(wait, r.endpoint.hold.until.Sub(now))
	}
	return wait
}

// spend takes the tokens of a request from all its buckets, or from none; it
// returns the first that lacks them, and nil if it took them.
func (s *scheduler) spend(r *request, now time.Time) (lacks *quota.Bucket) {
	g := r.gate
	rest := max(0, r.cost-g.credit)
	bills := [...]bill{ofSink: {s.limit, rest}, ofTenant: {g.tenant.limit, rest}, ofEndpoint: {r.endpoint.bucket(), r.cost}}
	for _, b := range bills {
		if b.bucket != nil && b.tokens > 0 && !s.plenty(b.bucket, b.tokens, now) {
			return b.bucket
		}
	}
	for i, b := range bills {
		if b.bucket == nil || b.tokens <= 0 {
			continue
		}
		if ok, wait := b.bucket.TakeAhead(now, b.tokens); !ok { // another sink of the account was quicker
			for j, other := range bills[:i] {
				if other.bucket != nil && other.tokens > 0 {
					other.bucket.Sent(now, other.tokens)
					other.bucket.Return(now, other.tokens)
					g.ahead[j].tokens -= other.tokens
				}
			}
			s.lack(b.bucket, now.Add(wait))
			return b.bucket
		}
		g.ahead[i].bucket = b.bucket
		g.ahead[i].tokens += b.tokens
	}
	g.credit = max(0, g.credit-r.cost)
	g.unanswered, g.asked = letGo{endpoint: r.endpoint, cost: r.cost}, true
	return nil
}

// plenty reports whether a bucket has the tokens and nobody waits for it.
func (s *scheduler) plenty(b *quota.Bucket, tokens float64, now time.Time) bool {
	if slices.Contains(s.scarce, b) {
		return false
	}
	ok, wait := b.Has(now, tokens)
	if !ok {
		s.lack(b, now.Add(wait))
	}
	return ok
}

// lack notes that somebody waits for a bucket, and when to look again.
func (s *scheduler) lack(b *quota.Bucket, again time.Time) {
	s.scarce = append(s.scarce, b)
	s.alarmAt(again)
}

// holdOf is how long the sink or a tenant is held yet, or the whole worker fenced.
func (s *scheduler) holdOf(tn *tenant, now time.Time) time.Duration {
	return max(s.hold.until.Sub(now), tn.hold.until.Sub(now), s.fence.wait(now))
}
