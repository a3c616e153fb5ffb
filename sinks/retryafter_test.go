package sinks

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const sent = "Tue, 24 Nov 2026 13:00:00 GMT" // the vendor's clock is an hour ahead
	tests := map[string]struct {
		header, date string
		want         time.Duration
		ok           bool
	}{
		"whole seconds":                         {"120", "", 2 * time.Minute, true},
		"zero":                                  {"0", "", 0, true},
		"surrounding blanks":                    {"  3 ", "", 3 * time.Second, true},
		"decimals as Shopify sends them":        {"2.0", "", 2 * time.Second, true},
		"a half":                                {"1.5", "", 1500 * time.Millisecond, true},
		"a leading point":                       {".5", "", 500 * time.Millisecond, true},
		"negative is now":                       {"-1", "", 0, true},
		"far too negative is now":               {"-99999999999999999999", "", 0, true},
		"2^64 is cut to a year":                 {"18446744073709551616", "", maxWait, true},
		"400 digits are cut to a year":          {strings.Repeat("9", 400), "", maxWait, true},
		"an IMF date":                           {"Tue, 24 Nov 2026 12:01:00 GMT", "", time.Minute, true},
		"an RFC 850 date":                       {"Tuesday, 24-Nov-26 12:01:00 GMT", "", time.Minute, true},
		"an asctime date":                       {"Tue Nov 24 12:01:00 2026", "", time.Minute, true},
		"a date counts from the answer's clock": {"Tue, 24 Nov 2026 13:00:30 GMT", sent, 30 * time.Second, true},
		"a past date is now":                    {"Tue, 24 Nov 2020 12:00:00 GMT", "", 0, true},
		"a date in 300 years is cut":            {"Mon, 24 Nov 2326 12:00:00 GMT", "", maxWait, true},
		"two fields folded: the longer":         {"120, 240", "", 4 * time.Minute, true},
		"nothing":                               {"", "", 0, false},
		"text":                                  {"soon", "", 0, false},
		"a number with a unit":                  {"5s", "", 0, false},
		"exponents are not seconds":             {"1e9", "", 0, false},
		"infinity":                              {"inf", "", 0, false},
		"not a number":                          {"NaN", "", 0, false},
		"hexadecimal":                           {"0x10", "", 0, false},
		"two points":                            {"1.2.3", "", 0, false},
		"two signs":                             {"--5", "", 0, false},
		"a list with text in it":                {"120, soon", "", 0, false},
		"a point alone":                         {".", "", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := RetryAfter(tt.header, tt.date, now)
			if got != tt.want || ok != tt.ok {
				t.Errorf("RetryAfter(%q) = %v, %v; want %v, %v", tt.header, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "1.5", "-1", "Tue, 24 Nov 2026 12:01:00 GMT", "120, 240", "soon", "18446744073709551616"} {
		f.Add(s, "")
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header, date string) {
		wait, ok := RetryAfter(header, date, now)
		if wait < 0 || wait > maxWait || (!ok && wait != 0) {
			t.Fatalf("RetryAfter(%q, %q) = %v, %v", header, date, wait, ok)
		}
	})
}

func FuzzWait(f *testing.F) {
	f.Add(`"default";r=0;t=30`, "0", "30")
	f.Add(`limit=100, remaining=0, reset=5`, "1", "1700000000")
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, field, remaining, reset string) {
		h := http.Header{"Ratelimit": {field}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}}
		if wait, ok := Wait(h, now); wait < 0 || wait > maxWait || (!ok && wait != 0) {
			t.Fatalf("Wait(%v) = %v, %v", h, wait, ok)
		}
	})
}

func TestWaitFromRateLimitFields(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	tests := map[string]struct {
		header map[string]string
		want   time.Duration
		ok     bool
	}{
		"nothing left in a window":           {map[string]string{"RateLimit": `"default";r=0;t=30`}, 30 * time.Second, true},
		"the longest of exhausted policies":  {map[string]string{"RateLimit": `"a";r=0;t=3, "b";r=0;t=9, "c";r=5;t=99`}, 9 * time.Second, true},
		"something left":                     {map[string]string{"RateLimit": `"default";r=50;t=30`}, 0, false},
		"a malformed field is ignored":       {map[string]string{"RateLimit": `r=0;;t=30"`}, 0, false},
		"the older dictionary":               {map[string]string{"RateLimit": `limit=100, remaining=0, reset=5`}, 5 * time.Second, true},
		"Retry-After goes first":             {map[string]string{"RateLimit": `"default";r=0;t=30`, "Retry-After": "7"}, 7 * time.Second, true},
		"unless it is nonsense":              {map[string]string{"RateLimit": `"default";r=0;t=30`, "Retry-After": "soon"}, 30 * time.Second, true},
		"reset as seconds from now":          {map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}, 12 * time.Second, true},
		"reset as Unix seconds":              {map[string]string{"X-RateLimit-Reset": "1800000060"}, time.Minute, true},
		"reset as Unix milliseconds":         {map[string]string{"X-RateLimit-Reset": "1800000060000"}, time.Minute, true},
		"a reset while some are left":        {map[string]string{"X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "12"}, 0, false},
		"the draft's names before the X":     {map[string]string{"RateLimit-Reset": "3", "X-RateLimit-Reset": "12"}, 3 * time.Second, true},
		"a moment that has passed":           {map[string]string{"X-RateLimit-Reset": "1700000000"}, 0, true},
		"no field at all":                    {nil, 0, false},
		"a reset that is no number":          {map[string]string{"X-RateLimit-Reset": "later"}, 0, false},
		"a reset longer than a year, capped": {map[string]string{"RateLimit": `"d";r=0;t=999999999999`}, maxWait, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			for k, v := range tt.header {
				h.Set(k, v)
			}
			if got, ok := Wait(h, now); got != tt.want || ok != tt.ok {
				t.Errorf("got %v, %v; want %v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}
