package quota

import (
	"time"

	"golang.org/x/time/rate"
)

// foundBurst is how much of a rate that was found may be sent at once, where
// nobody told a burst: a replica with little to send would save up, and spend
// all of it at once on a vendor that the others keep at its limit.
const foundBurst = 100 * time.Millisecond

// vendorSays is what a vendor lets on about its own limit. The configured one
// is never exceeded for it; less is kept by all replicas, within a round.
type vendorSays struct {
	rate   rate.Limit // as it was told
	window struct {
		share
		until time.Time
	}
	daily *Daily  // nil where it is not looked at
	climb climb   // of a bucket that is not shared; else the granter's counts
	heard tally   // that climb has not heard yet
	dear  float64 // the most tokens that a request has cost
}

func newVendorSays(l Limit) vendorSays {
	v := vendorSays{rate: rate.Inf}
	if l.Reserve > 0 {
		v.daily = &Daily{Reserve: l.Reserve}
	}
	return v
}

// most lowers a share to what the vendor takes.
func (v *vendorSays) most(now time.Time, s share) share {
	if found := v.climb.ceiling(now); found < s.Rate {
		if s.Rate >= float64(rate.Inf) {
			s.Burst = min(s.Burst, max(1, v.dear, found*foundBurst.Seconds()))
		}
		s.Rate = found
	}
	s.Rate = max(0, min(s.Rate, float64(v.rate)))
	if now.Before(v.window.until) {
		s = s.atMost(v.window.share)
	}
	if v.daily != nil {
		s.Rate = min(s.Rate, float64(v.daily.Ceiling()))
	}
	return s
}

// lower brings the ceiling up to what the vendor says at now.
func (b *Bucket) lower(now time.Time) {
	if b.vendor.heard != (tally{}) {
		b.vendor.climb.hear(now, b.vendor.heard, b.ceiling.Rate)
		b.vendor.heard = tally{}
	}
	before := b.ceiling.Rate
	b.ceiling = b.vendor.most(now, b.limit.whole())
	if b.ceiling.Rate < 0.98*before {
		b.urgent = true // the others should hear of it
	}
}

// SetRate is what the vendor said about the whole limit. Less than configured
// is the new ceiling for all replicas, within a round; more raises it again,
// up to what is configured. Where that is no limit, it is the ceiling of this
// process alone.
func (b *Bucket) SetRate(r rate.Limit) {
	b.hear(func(time.Time) { b.vendor.rate = r })
}

// SetLeft is what the vendor said about its present window: so many tokens
// are left until reset. What is sent is spread over that time.
func (b *Bucket) SetLeft(left float64, reset time.Duration) {
	if !(left >= 0) || reset <= 0 {
		return
	}
	b.hear(func(now time.Time) {
		b.vendor.window.share = share{Rate: left / reset.Seconds(), Burst: max(1, left)}
		b.vendor.window.until = now.Add(reset)
	})
}

// SetUsed is the vendor's count of a daily quota: so much used of so much. It
// is looked at where [Limit.Reserve] is set.
func (b *Bucket) SetUsed(used, limit float64) {
	b.hear(func(time.Time) {
		if b.vendor.daily != nil {
			b.vendor.daily.SetUsed(used, limit)
		}
	})
}

// learn takes in what another replica has heard of a daily quota.
func (b *Bucket) learn(now time.Time, c count) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.vendor.daily != nil {
		b.vendor.daily.learn(now, c)
		b.look(now)
	}
}

// Accepted is told that the vendor took a request of n tokens, or refused it
// for a reason that is not its limit.
func (b *Bucket) Accepted(n float64) { b.answer(tally{Took: 1, Tokens: n}) }

// Refused is told that the vendor refused a request of n tokens for being too
// much, and does not say how much it would take. Where a larger share of the
// requests is refused than chance explains, the ceiling falls, for all
// replicas, within a round; it comes back as requests are [Bucket.Accepted].
func (b *Bucket) Refused(n float64) { b.answer(tally{Refused: 1, Tokens: n}) }

// Found is the rate for all replicas that refusals have led to, in tokens per
// second; [rate.Inf] where there were none that tell.
func (b *Bucket) Found() rate.Limit {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.local:
		now := time.Now()
		b.lower(now)
		if c := b.vendor.climb.ceiling(now); c < float64(rate.Inf) {
			return rate.Limit(c)
		}
	case b.climbed > 0:
		return rate.Limit(b.climbed)
	}
	return rate.Inf
}

// answer lets the granter know, or the bucket itself where nobody shares it: the
// next time that it is asked.
func (b *Bucket) answer(t tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.local {
		b.vendor.heard = b.vendor.heard.plus(t)
		b.vendor.dear = max(b.vendor.dear, t.Tokens)
		return
	}
	b.answers = b.answers.plus(t)
	b.urgent = b.urgent || t.Refused > 0
}

func (b *Bucket) hear(what func(now time.Time)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.look(now)
	what(now)
	b.look(now)
}
