package dlq

import (
	"encoding/hex"
	"time"

	"holdfast.internal/internal/record"
)

// Filter chooses letters; a zero field chooses all.
type Filter struct {
	Since  time.Time // failed last at or after
	Until  time.Time // failed last before
	Class  string
	Code   string
	Status int
	Key    *string // as text, or as hex
	Group  string  // fingerprint
}

// match reports whether an envelope is chosen. written is the record's own
// timestamp, for letters that do not say when they failed.
func (f Filter) match(e *record.Envelope, written time.Time) bool {
	failed := e.LastFailed
	if failed.IsZero() {
		failed = written
	}
	class := string(e.Failure.Class)
	if class == "" {
		class = "unknown"
	}
	switch {
	case !f.Since.IsZero() && failed.Before(f.Since),
		!f.Until.IsZero() && !failed.Before(f.Until),
		f.Class != "" && f.Class != class,
		f.Code != "" && f.Code != e.Failure.Code,
		f.Status != 0 && f.Status != e.Failure.Status,
		f.Group != "" && f.Group != e.Fingerprint:
		return false
	}
	return f.Key == nil || keyIs(e.Event.Key, *f.Key)
}

// keyIs compares a key with its text, or with its bytes in hex.
func keyIs(key []byte, text string) bool {
	return key != nil && (string(key) == text || hex.EncodeToString(key) == text)
}
