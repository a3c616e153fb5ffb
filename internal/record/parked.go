package record

import "holdfast.internal"

// codeParked marks what waits in a dead-letter topic behind a dead letter of
// its key. The class tells it from a vendor's code of that name.
const codeParked = "parked"

// Park notes behind which dead letter the record waits. It has not failed: its
// times of failure stay as they are, since others count from them.
func (e *Envelope) Park(behind holdfast.Coordinates) {
	e.Failure = holdfast.Failure{Class: holdfast.ClassUnknown, Code: codeParked}
	e.Message = "waits behind the dead letter " + behind.String()
}

// Parked reports whether the record waits behind a dead letter of its key.
func (e *Envelope) Parked() bool {
	return e.Failure.Class == holdfast.ClassUnknown && e.Failure.Code == codeParked
}
