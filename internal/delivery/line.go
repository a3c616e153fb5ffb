package delivery

import (
	"slices"
	"time"

	"golang.org/x/time/rate"

	"holdfast.internal/internal/quota"
)

// request is one that an attempt in flight wants to send, and that waits for
// tokens. Who waits goes before what is picked next: else all records would
// begin and none would end.
type request struct {
	gate     *gate
	endpoint *quota.Bucket // nil for none
	cost     float64
	done     chan struct{} // closed when it may go, or will not
	err      error
}

// ask returns nil if a request may go now, else what it has to wait for.
func (s *scheduler) ask(g *gate, endpoint string, cost float64) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	g.taken() // or no further one would be made
	r := request{gate: g, cost: cost}
	if endpoint != "" {
		r.endpoint = s.endpoint(endpoint)
	}
	if s.holdOf(g.tenant, now) <= 0 && s.spend(&r, now) == nil {
		return nil
	}
	g.credit = 0
	waits := r
	waits.done = make(chan struct{})
	s.line = append(s.line, &waits)
	s.serve(now)
	return &waits
}

// quit takes a request out of the line whose attempt has ended.
func (s *scheduler) quit(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.line, r); i >= 0 {
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
	waiting := s.line[:0]
	for _, r := range s.line {
		held := s.holdOf(r.gate.tenant, now)
		switch {
		case held > s.cfg.Timeout:
			r.err = limited(held)
			close(r.done)
			continue
		case held > 0:
			s.alarmAt(now.Add(held))
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

// spend takes the tokens of a request from all its buckets, or from none; it
// returns the first that lacks them, and nil if it took them.
func (s *scheduler) spend(r *request, now time.Time) (lacks *quota.Bucket) {
	g := r.gate
	rest := max(0, r.cost-g.credit)
	bills := [...]struct {
		bucket *quota.Bucket
		tokens float64
	}{{s.limit, rest}, {g.tenant.limit, rest}, {r.endpoint, r.cost}}
	for _, b := range bills {
		if b.bucket != nil && b.tokens > 0 && !s.plenty(b.bucket, b.tokens, now) {
			return b.bucket
		}
	}
	for _, b := range bills {
		if b.bucket == nil || b.tokens <= 0 {
			continue
		}
		if ok, wait := b.bucket.Take(now, b.tokens); !ok { // another sink of the account was quicker
			s.lack(b.bucket, now.Add(wait))
			return b.bucket
		}
	}
	g.credit = max(0, g.credit-r.cost)
	g.sent = sent{endpoint: r.endpoint, cost: r.cost}
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

// endpoint is the bucket of an endpoint: without a limit of its own, it has
// none until the vendor refuses there.
func (s *scheduler) endpoint(name string) *quota.Bucket {
	b := s.endpoints[name]
	if b == nil {
		b = quota.Local(quota.Limit{Name: name, Rate: rate.Inf, Burst: s.cfg.Concurrency})
		s.endpoints[name] = b
	}
	return b
}
