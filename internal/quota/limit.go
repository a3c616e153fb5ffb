package quota

import "golang.org/x/time/rate"

// Limit is what a vendor allows all replicas together: in every window of w
// seconds at most Rate*w + Burst.
type Limit struct {
	// Name is the account, or the sink whose limit it is. Equal names are one limit.
	Name string
	// Rate is in tokens per second; rate.Inf is no limit, 0 lets nothing pass.
	Rate rate.Limit
	// Burst is in tokens; less than 1 counts as 1.
	Burst int
	// Reserve is the part of a daily quota that is left to others, 0 to 1. At 0
	// the vendor's daily count is not looked at.
	Reserve float64
}

// whole is the share of somebody who has all of it.
func (l Limit) whole() share {
	return share{Rate: float64(l.Rate), Burst: float64(max(1, l.Burst))}
}

// share is a part of a limit: tokens per second, and tokens at once.
type share struct {
	Rate  float64 `json:"rate"`
	Burst float64 `json:"burst"`
}

// atMost is the smaller of both in each part.
func (s share) atMost(o share) share {
	return share{Rate: min(s.Rate, o.Rate), Burst: min(s.Burst, o.Burst)}
}

// atLeast is the larger of both in each part.
func (s share) atLeast(o share) share {
	return share{Rate: max(s.Rate, o.Rate), Burst: max(s.Burst, o.Burst)}
}

func (s share) plus(o share) share {
	return share{Rate: s.Rate + o.Rate, Burst: s.Burst + o.Burst}
}

// minus never goes below 0.
func (s share) minus(o share) share {
	return share{Rate: max(0, s.Rate-o.Rate), Burst: max(0, s.Burst-o.Burst)}
}

// capped lowers the rate to a ceiling; 0 is none.
func (s share) capped(ceiling float64) share {
	if ceiling > 0 {
		s.Rate = min(s.Rate, ceiling)
	}
	return s
}

func (s share) times(f float64) share {
	return share{Rate: s.Rate * f, Burst: s.Burst * f}
}

// none reports that nothing can be sent with s.
func (s share) none() bool { return s.Rate <= 0 || s.Burst <= 0 }
