package record

import (
	"slices"

	"holdfast.internal"
)

// Detach gives the envelope bytes of its own. Those that it was read with are a
// piece of their batch, all of which stays in memory as long as they do.
func (e *Envelope) Detach() {
	n := len(e.Payload) + len(e.Event.Key) + len(e.Frozen) + len(e.Progress)
	for _, h := range e.Event.Headers {
		n += len(h.Value)
	}
	room := make([]byte, 0, n)
	own := func(b []byte) []byte {
		if b == nil { // a tombstone stays one
			return nil
		}
		from := len(room)
		room = append(room, b...)
		return slices.Clip(room[from:])
	}
	e.Payload, e.Event.Key, e.Frozen, e.Progress = own(e.Payload), own(e.Event.Key), own(e.Frozen), own(e.Progress)
	headers := make([]holdfast.Header, len(e.Event.Headers))
	for i, h := range e.Event.Headers {
		headers[i] = holdfast.Header{Name: h.Name, Value: own(h.Value)}
	}
	e.Event.Headers = headers
}
