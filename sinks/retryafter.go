package sinks

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait keeps a wait far from overflow. The engine bounds it to limits.max_hold.
const maxWait = 366 * 24 * time.Hour

// RetryAfter parses a Retry-After field: seconds, with decimals too (Shopify),
// or an HTTP date in any of its three forms. Dates count from date, the
// answer's own Date field, so that a skewed clock makes no difference, or from
// now where that is missing. Past and negative values are 0, huge ones a year.
// Two fields folded into one ("120, 240") give the longer wait. ok is false
// for anything else.
func RetryAfter(header, date string, now time.Time) (wait time.Duration, ok bool) {
	header = strings.TrimSpace(header)
	if t, err := http.ParseTime(header); err == nil {
		if sent, err := http.ParseTime(date); err == nil {
			now = sent
		}
		return clampWait(t.Sub(now)), true
	}
	for part := range strings.SplitSeq(header, ",") {
		w, valid := seconds(strings.TrimSpace(part))
		if !valid {
			return 0, false
		}
		wait = max(wait, w)
	}
	return wait, true
}

// seconds parses a decimal number. strconv alone would admit inf, 0x1p4 and 1e9.
func seconds(s string) (time.Duration, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	if f <= 0 {
		return 0, true
	}
	if f >= maxWait.Seconds() {
		return maxWait, true
	}
	return clampWait(time.Duration(math.Ceil(f * float64(time.Second)))), true
}

func clampWait(d time.Duration) time.Duration { return min(max(d, 0), maxWait) }
