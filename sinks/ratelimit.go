package sinks

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// Wait tells how long an answer asks us to wait: Retry-After if it parses,
// else the RateLimit fields if they say that nothing is left. ok is false if
// neither speaks.
func Wait(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	if v := h.Values("Retry-After"); len(v) > 0 {
		if wait, ok = RetryAfter(strings.Join(v, ", "), h.Get("Date"), now); ok {
			return wait, true
		}
	}
	if wait, ok = rateLimitField(h.Values("RateLimit")); ok {
		return wait, true
	}
	return rateLimitReset(h, now)
}

// rateLimitField reads draft-ietf-httpapi-ratelimit-headers,
// RateLimit: "default";r=0;t=30, and the older limit=100, remaining=0, reset=30.
// The longest wait of all exhausted policies counts.
func rateLimitField(values []string) (wait time.Duration, ok bool) {
	if len(values) == 0 {
		return 0, false
	}
	if list, err := httpsfv.UnmarshalList(values); err == nil {
		for _, member := range list {
			item, isItem := member.(httpsfv.Item)
			if !isItem || item.Params == nil {
				continue
			}
			if t, exhausted := exhaustedFor(item.Params.Get, "r", "t"); exhausted {
				wait, ok = max(wait, t), true
			}
		}
		return wait, ok
	}
	dict, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return 0, false
	}
	value := func(name string) (any, bool) {
		member, found := dict.Get(name)
		item, isItem := member.(httpsfv.Item)
		return item.Value, found && isItem
	}
	return exhaustedFor(value, "remaining", "reset")
}

func exhaustedFor(get func(string) (any, bool), remaining, reset string) (time.Duration, bool) {
	left, ok := get(remaining)
	if n, isInt := left.(int64); !ok || !isInt || n > 0 {
		return 0, false
	}
	t, _ := get(reset)
	n, isInt := t.(int64)
	if !isInt {
		return 0, false
	}
	return clampSeconds(n), true
}

// rateLimitReset reads RateLimit-Reset and X-RateLimit-Reset where nothing is
// left, or nobody says how much.
func rateLimitReset(h http.Header, now time.Time) (time.Duration, bool) {
	for _, f := range resetFields() {
		if left := first(h[f.remaining]); left != "" && strings.Trim(left, "0") != "" {
			continue
		}
		if wait, ok := resetOf(first(h[f.reset]), now); ok {
			return wait, true
		}
	}
	return 0, false
}

// resetFields are the names that were in use before there was a standard, as
// net/http spells them: to look one up by another spelling costs time on every
// answer.
func resetFields() [3]struct{ remaining, reset string } {
	return [3]struct{ remaining, reset string }{
		{"Ratelimit-Remaining", "Ratelimit-Reset"},
		{"X-Ratelimit-Remaining", "X-Ratelimit-Reset"},
		{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"},
	}
}

// first is the first value of a field, "" if there is none.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// resetOf reads a number of seconds from now, or a moment in Unix seconds or
// milliseconds.
func resetOf(value string, now time.Time) (time.Duration, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return 0, false
	}
	const epochSeconds, epochMillis = 1_000_000_000, 1_000_000_000_000
	switch {
	case n >= epochMillis:
		return clampWait(time.UnixMilli(n).Sub(now)), true
	case n >= epochSeconds:
		return clampWait(time.Unix(n, 0).Sub(now)), true
	}
	return clampSeconds(n), true
}

func clampSeconds(n int64) time.Duration {
	if n > int64(maxWait/time.Second) {
		return maxWait
	}
	return clampWait(time.Duration(n) * time.Second)
}
