package kafka

import (
	"errors"
	"time"
)

// ErrFenced is of a name that has two: another process runs under the same instance name.
var ErrFenced = errors.New("fenced three times within a minute: another process runs under this instance name")

// enough fences within a time are no accident. A process that was paused, or
// whose coordinator died, is fenced once and takes its name back.
const (
	enough     = 3
	fencesTime = time.Minute
)

// Fences counts how often a process lost its name to another. Two that run
// under one name take it from each other for ever, which helps nobody.
type Fences struct{ last [enough]time.Time }

// Add counts one. The error is [ErrFenced] if that is enough.
func (f *Fences) Add(now time.Time) error {
	copy(f.last[:], f.last[1:])
	f.last[enough-1] = now
	if first := f.last[0]; !first.IsZero() && now.Sub(first) < fencesTime {
		return ErrFenced
	}
	return nil
}
