// Package breaker decides whether a destination may be tried at all: a
// [Breaker] stops attempts while the destination itself is down, a [Budget]
// stops a mapping that refuses too much. Both are pure: time is passed in,
// nothing waits, the caller locks.
//
// # States of a Breaker
//
//	           too much is systemic
//	+--------+ ---------------------------------> +------+
//	| closed |                                    | open | nothing is allowed
//	+--------+ <--- ramp over      - - - - - - -> +------+ until the probe time
//	    ^         :               : too much of the |  ^
//	    |         :               : ramp failed     |  | systemic: twice the hold,
//	    |  closed, ramp: 1, 2, 4 … in flight        |  | 30 s at most
//	    |         ^                                 v  |
//	    |         | answered              +-----------+
//	    +---------+---------------------- | half_open | one attempt, the probe
//	                                      +-----------+ --+
//	                                            ^         | neither: another
//	                                            +---------+ may probe at once
//
// Closed opens on the share of systemic outcomes in a sliding window. A window
// with too few outcomes for a share, on a quiet sink, opens on a few in a row,
// over any time; and any window on so many in a row that chance cannot explain
// them, or a busy sink would go on failing until the good half of its window
// has passed.
//
// Half-open begins when the probe does. Its answer closes the breaker with a
// ramp: 1, 2, 4 attempts in flight, twice as many after each full round of
// answers, until the sink's concurrency. Inside the ramp the share counts from
// the probe on, without a least number: the first attempt after the probe opens
// the breaker again if it fails, and so does the share later. (Were any
// failure enough, a vendor that fails one request in five could not be used
// again after an outage: no ramp to 64 would pass.) Only a ramp that was
// passed takes the hold back to its first length, so that a destination which
// answers probes alone is not asked once a second for ever.
//
// # Late results
//
// Each opening starts a term. The outcome of an attempt that began in an
// earlier term says how the destination was, not how it is: a hung request
// that fails must not undo a recovery, and one that succeeds is not the probe.
// It never changes the state and enters no window. But a late answer is
// evidence that somebody is there: if the breaker is open it brings the probe
// forward, to the first hold from now at the latest.
package breaker
