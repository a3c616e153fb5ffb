package quota

import (
	"time"

	"golang.org/x/time/rate"
)

// vendorSays is what a vendor lets on about its own limit. The configured one
// is never exceeded for it; less is kept by all replicas, within a round.
type vendorSays struct {
	rate   rate.Limit // as it was told
	window struct {
		share
		until time.Time
	}
	daily *Daily // nil where it is not looked at
	climb climb
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
	s.Rate = max(0, min(s.Rate, float64(v.rate), v.climb.ceiling(now)))
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

// Refused is told that the vendor takes no more and does not say how much it
// would take. When it refuses more than a few of the last requests, half of
// what is used is the ceiling, and that comes back as requests are
// [Bucket.Accepted].
func (b *Bucket) Refused() {
	b.hear(func(now time.Time) {
		before := min(b.ceiling.Rate, b.agreed.Rate)
		if now.Sub(b.fell) < climbPause { // another replica said so first
			return
		}
		all := before // is used where somebody waits for a token
		if waits := now.Sub(b.meter.refused) < climbPause; !waits {
			all = min(before, b.vendor.climb.rate(now)/b.part())
		}
		b.vendor.climb.refused(now, all, before)
	})
}

// Accepted is told that the vendor took n tokens' worth of requests.
func (b *Bucket) Accepted(n float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.vendor.climb.accepted(n / b.part())
}

func (b *Bucket) hear(what func(now time.Time)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.look(now)
	what(now)
	b.look(now)
}

// part is which part of the limit this process has now, above 0: what it sees
// of the vendor's patience is as much of the whole.
func (b *Bucket) part() float64 {
	if b.local || b.unlimited() || b.agreed.Rate <= 0 || b.tokens.share.Rate <= 0 {
		return 1
	}
	return min(1, b.tokens.share.Rate/b.agreed.Rate)
}
