package quota

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Daily is a quota that a vendor counts over rolling 24 hours for everything
// its customer runs, not for us alone: Salesforce's requests. A reserve of it
// is left to the others. It is fed by the vendor's own count and yields a
// ceiling for a [Bucket], which all replicas keep together.
//
// The zero value has no quota yet, and no ceiling.
type Daily struct {
	// Reserve is the part that is left to the others, 0 to 1; 0 counts as 0.05.
	// It is set before the first use.
	Reserve float64

	mu        sync.Mutex
	used, max float64
	heard     time.Time
}

// count is what a vendor said, so many seconds ago.
type count struct {
	Used float64 `json:"used"`
	Max  float64 `json:"max"`
	Age  float64 `json:"age"`
}

// laterCount is how much newer another's count has to be than one's own. What
// comes back over the topic has aged by the way, and is no news.
const laterCount = time.Second

// Parts of a daily quota.
const (
	// DailyReserve is what is left to others where nobody says otherwise.
	DailyReserve = 0.05
	// dailySlow is how far before the reserve what is left begins to be
	// stretched over a day.
	dailySlow = 0.15
)

// stop is where the others' reserve begins, slow from where on what is left is
// stretched.
func (d *Daily) stop() float64 {
	if d.Reserve <= 0 {
		return 1 - DailyReserve
	}
	return 1 - d.Reserve
}

func (d *Daily) slow() float64 { return max(0, d.stop()-dailySlow) }

// dailyProbe is how often the vendor is asked while nothing may be sent: only
// its answers tell that the count has gone down.
const dailyProbe = 15 * time.Minute

const day = 24 * time.Hour

// SetUsed is what the vendor says: so much used of so much. A count that makes
// no sense (a maximum of 0, a negative number) is not believed.
func (d *Daily) SetUsed(used, limit float64) {
	if !(limit > 0) || !(used >= 0) || math.IsInf(used, 0) || math.IsInf(limit, 0) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used, d.max, d.heard = used, limit, time.Now()
}

// said is the last count; nil if none was heard.
func (d *Daily) said(now time.Time) *count {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.max == 0 {
		return nil
	}
	return &count{Used: d.used, Max: d.max, Age: now.Sub(d.heard).Seconds()}
}

// learn takes over what another replica has heard, if that is later: in the
// reserve a replica hears for itself only once in several quarters of an hour.
func (d *Daily) learn(now time.Time, c count) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := now.Add(-time.Duration(c.Age * float64(time.Second)))
	if c.Max > 0 && c.Age >= 0 && at.Sub(d.heard) > laterCount {
		d.used, d.max, d.heard = c.Used, c.Max, at
	}
}

// Used is the part of the quota that is used, from 0; above 1 if a vendor lets
// it be exceeded.
func (d *Daily) Used() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.max == 0 {
		return 0
	}
	return d.used / d.max
}

// Stopped reports that only probes are sent.
func (d *Daily) Stopped() bool { return d.Used() >= d.stop() }

// Ceiling is how many requests per second may be sent: as many as the limit
// allows (rate.Inf) below 80 % with a reserve of 5 %; then what is left before the reserve,
// spread over a day, so that the reserve is not touched even if nothing of the
// count expires; then a probe every 15 minutes.
func (d *Daily) Ceiling() rate.Limit {
	d.mu.Lock()
	defer d.mu.Unlock()
	probe := rate.Every(dailyProbe)
	switch {
	case d.max == 0 || d.used < d.slow()*d.max:
		return rate.Inf
	case d.used >= d.stop()*d.max:
		return probe
	}
	left := d.stop()*d.max - d.used
	return max(probe, rate.Limit(left/day.Seconds()))
}
