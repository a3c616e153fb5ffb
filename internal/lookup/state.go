package lookup

import (
	"fmt"
	"slices"
	"time"

	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/sinkstate"
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
	receipt     bool   // the vendor's answer came after the last move
	behind      string // which dead letter it was parked behind when it was redriven, in words; "" for none
	sink        sinkstate.State
	now         time.Time
}

// judge tells the state, and in words what it does not say. Kafka knows how
// far a group has settled, not what it holds in its hands: in flight is said
// of the first record that is not settled, while somebody works.
func (f facts) judge() (State, string) {
	state, note := f.place()
	switch state {
	case Waiting, InFlight, Retry:
		return f.destination(state, note)
	case Parked, Delivered, Dead, Discarded:
	}
	return state, note
}

// destination adds what the record waits for if not for itself.
func (f facts) destination(state State, note string) (State, string) {
	const forIt = "waits for its destination and not for itself"
	e, next := f.last.e, f.sink.Next(f.now)
	switch {
	case f.sink.Blocked():
		if state == InFlight { // the first in line, and nobody sends
			state = Waiting
			if slices.Contains(f.target.Retry(), f.last.at.Topic) {
				state = Retry
			}
		}
		return state, joined(note, forIt+": "+next)
	case f.sink.Tenants > 0:
		return state, joined(note, "some tenants wait for their destination: "+next)
	case state == InFlight && (f.sink.Waits != sinkstate.NoWait || f.sink.Endpoint != ""):
		return state, joined(note, next)
	case state == Retry && e.Spent == 0 && e.Failure.Class.Systemic():
		return state, joined(note, forIt+": the failure spent no attempt")
	}
	return state, note
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// place tells the state by where the record lies.
func (f facts) place() (State, string) {
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
	case !f.busy:
		return Waiting, "no worker of " + f.target.Group() + " is running"
	case f.behind != "" && at.Topic == f.target.Redrive(): // it was sent before its turn
		return Waiting, f.behind + ", unless that one has gone"
	case f.settled.Head() == at.Offset:
		return InFlight, ""
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
