package sinks

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// Limits reads what answers say about the limits of the account.
type Limits struct {
	daily string // the field that tells of a daily quota; "" for none
	count *regexp.Regexp
}

// NewLimits makes a reader. daily names a field that says how much of a daily
// quota is used ("api-usage=18/5000"); "" for none.
func NewLimits(daily string) *Limits {
	return &Limits{daily: daily, count: regexp.MustCompile(`(\d{1,15}) ?/ ?(\d{1,15})`)}
}

// Read reads an answer: RateLimit and RateLimit-Policy of
// draft-ietf-httpapi-ratelimit-headers, its older forms, X-RateLimit-Remaining
// with -Reset, and the daily quota. Of several windows the tightest counts.
// What does not parse says nothing. now is asked only where a time is given.
func (l *Limits) Read(h http.Header, now func() time.Time) Advice {
	var a Advice
	foreign := a.readPolicies(h["Ratelimit-Policy"])
	if !a.readWindows(h["Ratelimit"], foreign) {
		a.readReset(h, now)
	}
	if l.daily != "" {
		a.readDaily(l.count.FindStringSubmatch(h.Get(l.daily)))
	}
	return a
}

// readPolicies takes the slowest rate of "name";q=100;w=60, and returns the
// names of those that do not count requests.
func (a *Advice) readPolicies(values []string) (foreign map[any]bool) {
	if len(values) == 0 { // as with most vendors
		return nil
	}
	foreign = map[any]bool{}
	list, err := httpsfv.UnmarshalList(values)
	if err != nil {
		return foreign
	}
	for _, m := range list {
		item, ok := m.(httpsfv.Item)
		if !ok || item.Params == nil {
			continue
		}
		if unit, ok := item.Params.Get("qu"); ok && unit != "requests" {
			foreign[item.Value] = true
			continue
		}
		quota, window := positive(item.Params.Get, "q"), positive(item.Params.Get, "w")
		if quota > 0 && window > 0 && (a.Rate == 0 || quota/window < a.Rate) {
			a.Rate = quota / window
		}
	}
	return foreign
}

// readWindows takes the tightest of "name";r=50;t=30, or of the older
// remaining=50, reset=30. It reports whether there was any.
func (a *Advice) readWindows(values []string, foreign map[any]bool) bool {
	if len(values) == 0 {
		return false
	}
	if list, err := httpsfv.UnmarshalList(values); err == nil {
		for _, m := range list {
			if item, ok := m.(httpsfv.Item); ok && item.Params != nil && !foreign[item.Value] {
				a.window(item.Params.Get, "r", "t")
			}
		}
		return true
	}
	dict, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return false
	}
	a.window(func(name string) (any, bool) {
		member, found := dict.Get(name)
		item, isItem := member.(httpsfv.Item)
		return item.Value, found && isItem
	}, "remaining", "reset")
	return true
}

func (a *Advice) window(get func(string) (any, bool), left, reset string) {
	n, ok := get(left)
	count, isInt := n.(int64)
	if seconds := positive(get, reset); ok && isInt && count >= 0 && seconds > 0 {
		a.tighten(float64(count), time.Duration(min(seconds, maxWait.Seconds())*float64(time.Second)))
	}
}

// tighten takes a window if it allows less per second than the one before.
func (a *Advice) tighten(left float64, reset time.Duration) {
	if a.Reset == 0 || left/reset.Seconds() < a.Left/a.Reset.Seconds() {
		a.Left, a.Reset = left, reset
	}
}

// positive is a number above 0 of a structured field; 0 for none.
func positive(get func(string) (any, bool), name string) float64 {
	v, _ := get(name)
	switch n := v.(type) {
	case int64:
		return max(0, float64(n))
	case float64:
		return max(0, n)
	}
	return 0
}

// readReset reads the names that were in use before there was a standard.
func (a *Advice) readReset(h http.Header, now func() time.Time) {
	for _, f := range resetFields() {
		if len(h[f.remaining]) == 0 {
			continue
		}
		left, err := strconv.ParseFloat(strings.TrimSpace(first(h[f.remaining])), 64)
		if err != nil || !(left >= 0) || left > 1e12 {
			continue
		}
		if reset, ok := resetOf(first(h[f.reset]), now()); ok && reset > 0 {
			a.tighten(left, reset)
			return
		}
	}
}

// readDaily takes the first used/max of a field, if there was one.
func (a *Advice) readDaily(count []string) {
	if count == nil {
		return
	}
	a.Used, _ = strconv.ParseFloat(count[1], 64)
	a.Max, _ = strconv.ParseFloat(count[2], 64)
}
