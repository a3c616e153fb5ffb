package delivery

import (
	"time"

	"holdfast.internal"
	"holdfast.internal/internal/sinkstate"
)

// awaits remembers that records wait to be opened: each says so every
// [schemaPoll], and nobody says when it is over.
type awaits struct {
	why sinkstate.Wait
	at  time.Time // when it was last said
}

// say notes that a record cannot be opened yet, and reports whether that is news.
func (a *awaits) say(f holdfast.Failure, now time.Time) (tell bool) {
	why := sinkstate.Registry
	if f.Code == codeUnknownSchema {
		why = sinkstate.Schema
	}
	tell = a.now(now) != why
	a.why, a.at = why, now
	return tell
}

// now is what is waited for.
func (a *awaits) now(now time.Time) sinkstate.Wait {
	if now.Sub(a.at) > 3*schemaPoll {
		return sinkstate.NoWait
	}
	return a.why
}

// codeUnknownSchema is the code of package registry for an id that it does not know (yet).
const codeUnknownSchema = "unknown_schema"

// await notes why a record cannot be opened, and reports whether people are to be told.
func (s *scheduler) await(f holdfast.Failure, now time.Time) (tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaits.say(f, now)
}
