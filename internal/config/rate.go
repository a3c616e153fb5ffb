package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rate is so many records per second, minute or hour: 25/s, 100/m, 0.5/s. The
// zero value is no limit.
type Rate struct {
	Count float64
	Per   time.Duration
}

var errRate = errors.New("must be a number above 0 per s, m or h, such as 25/s or 100/m")

// ParseRate reads a rate.
func ParseRate(text string) (Rate, error) {
	count, unit, _ := strings.Cut(text, "/")
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	n, err := strconv.ParseFloat(count, 64)
	if err != nil || per == 0 || !(n > 0) || math.IsInf(n, 0) {
		return Rate{}, fmt.Errorf("%q %w", text, errRate)
	}
	return Rate{Count: n, Per: per}, nil
}

// PerSecond returns records per second; 0 is no limit.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return r.Count / r.Per.Seconds()
}

// burst is what a second of the rate holds, at least one; 0 without a rate.
func (r Rate) burst() int {
	if r == (Rate{}) {
		return 0
	}
	return int(min(max(1, math.Ceil(r.PerSecond())), 1_000_000))
}

// String returns the rate as it is written in a file; "" for no limit.
func (r Rate) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
	if unit == "" {
		return ""
	}
	return strconv.FormatFloat(r.Count, 'f', -1, 64) + "/" + unit
}

// UnmarshalText reads a rate.
func (r *Rate) UnmarshalText(text []byte) error {
	rate, err := ParseRate(string(text))
	if err == nil {
		*r = rate
	}
	return err
}

// MarshalText writes the rate as [Rate.String] does.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
