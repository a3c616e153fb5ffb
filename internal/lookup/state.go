package lookup

import (
	"fmt"
	"slices"
	"time"

	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
)

// State says where a record is.
type State string

// The states. Delivered of a processor's input means that it was processed.
const (
	Waiting   State = "waiting"
	InFlight  State = "in_flight"
	Retry     State = "retry"
	Parked    State = "parked" // behind an earlier record of its key
	Delivered State = "delivered"
	Dead      State = "dead"
	Discarded State = "discarded"
)

// facts are what a state follows from.
type facts struct {
	target      dlq.Target
	last        sighting
	settled     offsets.Settled // by the group, where it lies
	busy        bool            // the group has members
	disposition dlq.State
	receipt     bool // the vendor's answer came after the last move
	now         time.Time
}

// judge tells the state, and in words what it does not say. Kafka knows how
// far a group has settled, not what it holds in its hands: in flight is said
// of the first record that is not settled, while somebody works.
func (f facts) judge() (State, string) {
	at := f.last.at
	switch {
	case at.Topic == f.target.Letters():
		return f.dead()
	case f.settled.Has(at.Offset):
		return Delivered, ""
	case f.receipt:
		return Delivered, "the vendor answered; its offset is settled with those before it"
	case slices.Contains(f.target.Retry(), at.Topic):
		return f.inTier()
	case f.busy && f.settled.Head() == at.Offset:
		return InFlight, ""
	case !f.busy:
		return Waiting, "no worker of " + f.target.Group() + " is running"
	default:
		return Waiting, ""
	}
}

func (f facts) dead() (State, string) {
	switch f.disposition {
	case dlq.Discarded:
		return Discarded, ""
	case dlq.Redriven:
		return Waiting, "redriven; its new copy was not read"
	case dlq.Acknowledged:
		return Dead, "somebody looks after it"
	case dlq.Skipped:
		return Dead, "skipped: what follows it went on"
	case dlq.Released: // a later place would have been seen
		return Delivered, ""
	default:
		if f.last.e.Parked() {
			return Parked, f.last.e.Message
		}
		return Dead, ""
	}
}

func (f facts) inTier() (State, string) {
	e := f.last.e
	if parked(e) {
		return Parked, "waits behind an earlier record of its key"
	}
	if e.Due.After(f.now) {
		return Retry, "due in " + e.Due.Sub(f.now).Round(time.Second).String()
	}
	switch {
	case !f.busy:
		return Retry, "due; no worker of " + f.target.Group() + " is running"
	case f.settled.Head() == f.last.at.Offset:
		return InFlight, "due"
	default:
		return Retry, fmt.Sprintf("due for %s", f.now.Sub(e.Due).Round(time.Second))
	}
}

// parked tells a record that waits for its key from one that failed itself.
func parked(e *record.Envelope) bool { return e.Spent == 0 && e.Failure.Class == "" }
