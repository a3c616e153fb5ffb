package quota

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds on the wait that is told: a share may grow meanwhile, and more seldom
// the limit of one who shares with nobody.
const (
	minWait      = 100 * time.Microsecond
	maxWait      = 250 * time.Millisecond
	maxLocalWait = 2 * time.Second
)

// Bucket is one process's part of a limit. It starts empty. Safe for use by
// several goroutines.
type Bucket struct {
	limit Limit
	local bool

	mu      sync.Mutex
	vendor  vendorSays
	ceiling share // the limit, lowered by the vendor
	agreed  share // what the others know of it
	answers tally // of the vendor, to this process, since it began
	shares  []func() float64
	grown   []func() // to be called when its share has
	tokens  *tokens
	meter   meter
	urgent  bool // something that the granter should hear soon
	waits   waits

	granted lease
	share   share // while granted lives
	by      string
	round   uint64
	acked   uint64  // the last round that the others were told of
	climbed float64 // the granter's ceiling for all, in tokens per second; 0 for none
	noise   float64 // as the granter told it
	static  lease
	own     share // at most, while static lives
}

// Local returns a bucket that has the whole limit for itself.
func Local(l Limit) *Bucket {
	b := newBucket(l)
	b.local = true
	return b
}

// Full is [Local] with a bucket that starts with its burst.
func Full(l Limit) *Bucket {
	b := Local(l)
	b.tokens.fill(b.ceiling)
	return b
}

func newBucket(l Limit) *Bucket {
	b := &Bucket{limit: l, ceiling: l.whole(), tokens: newTokens(), vendor: newVendorSays(l)}
	b.agreed = b.ceiling
	return b
}

// TakeAhead takes n tokens if they are there; else it says when to ask again, 250
// ms at most (2 s of a limit that is not shared), and takes none. n above the
// burst of the limit counts as the burst. [Bucket.Sent] tells when the request is
// sent that they are for, or that it will not be. Until then they count as part
// of the burst: what is earned while requests wait for their connections, or the
// process stands still, is not sent together with them. now may be stale by as
// much as that.
func (b *Bucket) TakeAhead(now time.Time, n float64) (ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok, wait = b.takeNow(now, n); ok {
		b.tokens.ahead += n
	}
	return ok, wait
}

// Sent is told that a request is sent for which n tokens were taken ahead.
func (b *Bucket) Sent(now time.Time, n float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(now)
	b.tokens.sent(now, n)
	b.urgent = b.urgent || b.ack() > b.acked
}

// Has reports what [Bucket.TakeAhead] would, and takes nothing.
func (b *Bucket) Has(now time.Time, n float64) (ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ask(latest(now), n, (*tokens).has)
}

// Return gives back n tokens that were taken and not used. It makes none: the
// bucket then holds at most what it would, had they not been taken.
func (b *Bucket) Return(now time.Time, n float64) {
	now = latest(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(now)
	if b.unlimited() {
		return
	}
	b.tokens.giveBack(now, min(n, b.ceiling.Burst))
	b.meter.used = max(0, b.meter.used-n)
}

// Full reports whether a bucket holds its burst: nothing of the limit has been
// used of late.
func (b *Bucket) Full(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(now)
	return b.unlimited() || b.tokens.full(now)
}

func latest(now time.Time) time.Time {
	if t := time.Now(); t.After(now) {
		return t
	}
	return now
}

func (b *Bucket) takeNow(now time.Time, n float64) (ok bool, wait time.Duration) {
	if ok, wait = b.ask(now, n, (*tokens).take); ok {
		b.meter.took(now, n)
		b.waits.end(now)
	}
	return ok, wait
}

// ask asks the tokens, unless there is no limit.
func (b *Bucket) ask(now time.Time, n float64, tokens func(*tokens, time.Time, float64) (bool, time.Duration)) (ok bool, wait time.Duration) {
	b.look(now)
	if b.unlimited() {
		return true, 0
	}
	n = min(n, b.ceiling.Burst)
	if ok, wait = tokens(b.tokens, now, n); ok {
		return true, 0
	}
	b.waits.begin(now)
	if b.meter.refuse(now, n, wait > maxWait) {
		b.urgent = true
	}
	longest := maxWait
	if b.local {
		longest = maxLocalWait
	}
	return false, max(minWait, min(wait, longest))
}

// OnGrowth has f called whenever the share of the bucket has grown: who was told
// a wait need not sit it out. f must be quick, and ask no bucket.
func (b *Bucket) OnGrowth(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grown = append(b.grown, f)
}

// Limit is this process's own rate now, in tokens per second.
func (b *Bucket) Limit() rate.Limit {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(time.Now())
	if b.unlimited() {
		return rate.Inf
	}
	return rate.Limit(b.tokens.share.Rate)
}

func (b *Bucket) unlimited() bool { return b.ceiling.Rate >= float64(rate.Inf) }

// look brings the tokens up to what may be used now.
func (b *Bucket) look(now time.Time) {
	now = b.tokens.later(now)
	b.lower(now)
	switch {
	case b.unlimited():
	case b.local:
		b.tokens.set(now, b.ceiling)
	case b.granted.live(now):
		b.tokens.set(now, b.share.atMost(b.ceiling))
	case b.static.live(now):
		part := b.part().atMost(b.own)
		if part.Rate < b.tokens.share.Rate {
			b.tokens.lower(now, part)
			return
		}
		b.tokens.set(now, part)
	default:
		b.tokens.set(now, share{})
	}
}

// part is the static share.
func (b *Bucket) part() share {
	return b.ceiling.atMost(b.agreed).capped(b.climbed).times(b.fraction())
}

// fraction is the part of the limit that is this process's by itself.
func (b *Bucket) fraction() float64 {
	var sum float64
	for _, s := range b.shares {
		sum += s()
	}
	return max(0, min(sum, 1))
}

// grant puts the share of a round in the place of what was there.
func (b *Bucket) grant(now time.Time, by string, round uint64, g grant, until lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(now)
	if by == b.by && round <= b.round {
		return
	}
	s := g.Share
	if shrinks := s.Rate < b.share.Rate || s.Burst < b.share.Burst; shrinks {
		b.urgent = true // others wait for it
	}
	if by != b.by {
		b.acked = 0 // of another's rounds
	}
	b.by, b.round, b.share, b.granted, b.static = by, round, s, until, lease{}
	b.climbed, b.noise = g.Ceiling, g.Noise
	b.lookAgain(now)
}

// lookAgain is look after a change, and tells of a share that grew.
func (b *Bucket) lookAgain(now time.Time) {
	before := b.tokens.share.Rate
	b.look(now)
	if b.tokens.share.Rate <= before {
		return
	}
	for _, f := range b.grown {
		f()
	}
}

// fallBack lets the bucket go by its static share, as much of it as was said.
func (b *Bucket) fallBack(now time.Time, said share, until lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(now)
	b.static, b.own = until, said
	b.lookAgain(now)
}

// drop ends what was granted: the process leaves.
func (b *Bucket) drop(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.granted, b.static = lease{}, lease{}
	b.look(now)
}

// agree is told the smallest limit that anybody knows.
func (b *Bucket) agree(total share) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.agreed = total
}

// ack is the last round by whose share everything goes. What was taken by a
// larger one and is not sent yet is still to come: the larger one is not free.
func (b *Bucket) ack() uint64 {
	if b.tokens.ahead > b.tokens.share.Burst {
		return b.acked
	}
	return b.round
}

// presses reports whether a demand should go out before its time.
func (b *Bucket) presses() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.urgent
}

func (b *Bucket) idle(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.meter.idle(now)
}

// want is what the process demands now.
func (b *Bucket) want(now time.Time, static bool) want {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lower(now)
	b.urgent = false
	b.acked = b.ack()
	w := want{Limit: b.limit.Name, Total: b.ceiling, By: b.by, Ack: b.acked, Answers: b.answers, Ceiling: b.climbed, Noise: b.noise}
	w.Want, w.Need = b.meter.sample(now, b.ceiling.Rate)
	if static {
		part := b.part()
		w.Static = &part
	}
	if b.vendor.daily != nil {
		w.Day = b.vendor.daily.said(now)
	}
	return w
}
