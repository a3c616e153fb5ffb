package delivery

import (
	"sync"
	"time"
)

// evidence remembers when the destination last answered, and whom: a failure
// spends an attempt only if the destination answered somebody else meanwhile.
// So an outage costs nothing, on a quiet sink too, and a record that alone
// brings the vendor down still climbs.
type evidence struct {
	mu   sync.Mutex
	id   string // event answered last
	last time.Time
	// other is when an event other than id was answered last.
	other time.Time
}

// answered notes that the destination answered about the event: with success,
// or with a refusal of the record itself.
func (e *evidence) answered(id string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.id != id {
		e.other = e.last
		e.id = id
	}
	e.last = at
}

// since reports whether an event other than id was answered after t.
func (e *evidence) since(t time.Time, id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.id != id {
		return e.last.After(t)
	}
	return e.other.After(t)
}
