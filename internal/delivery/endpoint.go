package delivery

import (
	"time"

	"golang.org/x/time/rate"

	"holdfast.internal/internal/quota"
)

// endpoint is one that the destination counts apart, as one tenant's account
// there meets it. Throttled, it is held alone: what asks for it waits, and all
// else goes on. Nobody knows which records will ask for it before they do, so
// each is picked once and, where the hold is long, put off to its end. It is
// guarded by the scheduler's mutex.
type endpoint struct {
	name     string
	limit    *quota.Bucket // of all tenants
	hold     hold
	evidence evidence // whose requests it took
	// back is when the last of those come back that were put off, and together
	// how many do then.
	back     time.Time
	together int
}

const (
	// atGate is how long a hold may be that is waited for with a slot. What is put
	// off asks again for what its sink does not note down.
	atGate = time.Second
	// What was put off comes back in parts, some time apart: an endpoint that
	// throttles takes a few before it throttles again, and all others would be
	// read and picked for nothing. A part is what the endpoint's limit lets
	// through in backWorth, within bounds; it lies close together in a tier.
	backEvery = 500 * time.Millisecond
	backWorth = 4 * backEvery
	leastBack = 32
	mostBack  = refetchBatch
)

// endpointOf is that of a name as a tenant meets it; nil for none.
func (s *scheduler) endpointOf(tn *tenant, name string) *endpoint {
	if name == "" {
		return nil
	}
	e := tn.endpoints[name]
	if e == nil {
		if tn.endpoints == nil {
			tn.endpoints = make(map[string]*endpoint)
		}
		e = &endpoint{name: name, limit: s.endpointLimit(name)}
		tn.endpoints[name] = e
	}
	return e
}

// endpointLimit is the bucket of an endpoint: without a limit of its own, it has
// none until the vendor refuses there.
func (s *scheduler) endpointLimit(name string) *quota.Bucket {
	b := s.endpoints[name]
	if b == nil {
		b = quota.Local(quota.Limit{Name: name, Rate: rate.Inf, Burst: s.cfg.Concurrency})
		s.endpoints[name] = b
	}
	return b
}

// bucket is the endpoint's limit; nil for no endpoint.
func (e *endpoint) bucket() *quota.Bucket {
	if e == nil {
		return nil
	}
	return e.limit
}

// held reports whether the endpoint may not be asked yet.
func (e *endpoint) held(now time.Time) bool { return e != nil && e.hold.until.After(now) }

// took notes that the endpoint took a request about an event.
func (e *endpoint) took(id string, now time.Time) {
	e.evidence.answered(id, now)
	e.hold.streak = 0
}

// lift ends its hold as [hold.lift] does. What is put off from now on does not
// come back behind what was before.
func (e *endpoint) lift(now time.Time, throttled bool) bool {
	lifted := e.hold.lift(now, throttled)
	if lifted {
		e.back = now
	}
	return lifted
}

// putOff is how long until one more that asked for a held endpoint comes back.
func (e *endpoint) putOff(now time.Time) time.Duration {
	if e.back.Before(e.hold.until) {
		e.back, e.together = e.hold.until, 0
	}
	part := float64(e.limit.Limit()) * backWorth.Seconds()
	if e.together++; e.together > int(min(max(part, leastBack), mostBack)) {
		e.back, e.together = e.back.Add(backEvery), 1
	}
	return e.back.Sub(now)
}
