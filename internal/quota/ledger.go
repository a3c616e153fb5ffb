package quota

import (
	"math"
	"slices"
	"time"
)

// promise is a share that its holder may be using until then.
type promise struct {
	share share
	by    ruling
	until time.Time
	at    int64 // where it stands in the log; none where it is not known
}

// none is no place in the log.
const none = math.MaxInt64

// ruling is one round of one granter.
type ruling struct {
	from string
	n    uint64
}

// ledger is what of one limit has been promised. A holder may use any of its
// promises that have not ended: nobody knows which round it has read.
type ledger struct{ held map[string][]promise }

func newLedger() *ledger { return &ledger{held: map[string][]promise{}} }

// expire forgets what has ended: what stands before the horizon, too.
func (l *ledger) expire(now time.Time, horizon int64) {
	for id := range l.held {
		l.keep(id, func(p promise) bool { return now.Before(p.until) && p.at >= horizon })
	}
}

// promise notes one more, which comes after all others of its holder.
func (l *ledger) promise(id string, p promise) { l.held[id] = append(l.held[id], p) }

// ack forgets what a holder has given up: it runs on the share of that round,
// and reads none that came before.
func (l *ledger) ack(id string, by ruling) {
	if i := slices.IndexFunc(l.held[id], func(p promise) bool { return p.by == by }); i > 0 {
		l.held[id] = l.held[id][i:]
	}
}

func (l *ledger) keep(id string, keep func(promise) bool) {
	l.held[id] = slices.DeleteFunc(l.held[id], func(p promise) bool { return !keep(p) })
	if len(l.held[id]) == 0 {
		delete(l.held, id)
	}
}

// gone forgets a holder that has stopped.
func (l *ledger) gone(id string) { delete(l.held, id) }

// most is what a holder may be using at most.
func (l *ledger) most(id string) share {
	var most share
	for _, p := range l.held[id] {
		most = most.atLeast(p.share)
	}
	return most
}

// promised is what all holders may be using at most.
func (l *ledger) promised() share {
	var sum share
	for id := range l.held {
		sum = sum.plus(l.most(id))
	}
	return sum
}

// apart is what those may be using who are not among some.
func (l *ledger) apart(from map[string]standing) share {
	var sum share
	for id := range l.held {
		if _, among := from[id]; !among {
			sum = sum.plus(l.most(id))
		}
	}
	return sum
}

// grant promises parts of total, and returns what it promised. Who is to have
// less gets that; who is to have more gets as much of it as nobody holds.
func (l *ledger) grant(total share, parts map[string]share, by ruling, until map[string]time.Time) map[string]share {
	free := total.minus(l.promised())
	var growth share
	for id, part := range parts {
		growth = growth.plus(part.minus(l.most(id)))
	}
	given := make(map[string]share, len(parts))
	for id, part := range parts {
		most := l.most(id)
		more := part.minus(most)
		given[id] = part.atMost(most).plus(share{
			Rate:  more.Rate * portion(free.Rate, growth.Rate),
			Burst: more.Burst * portion(free.Burst, growth.Burst),
		})
	}
	for id, s := range given {
		p := promise{share: s, by: by, until: until[id], at: none}
		if n := len(l.held[id]); n > 0 && l.held[id][n-1].same(p) {
			continue
		}
		l.promise(id, p)
	}
	return given
}

// same reports that both promise as much for as long.
func (p promise) same(o promise) bool { return p.share == o.share && p.until.Equal(o.until) }

// portion is how much of each part of wanted there is.
func portion(free, wanted float64) float64 {
	if wanted <= free {
		return 1
	}
	return free / wanted
}
