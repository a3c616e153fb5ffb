package record

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
)

// Outline reads of a record in one of our own topics what places it among
// others: key, origin, hop, epoch, redrives, when it is due, and whether it is
// parked. All else is left out, which takes a tenth of the time: of most
// records that wait nobody needs more until they are sent.
func Outline(r *kgo.Record) *Envelope {
	e := &Envelope{At: holdfast.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}}
	e.Event.Key = r.Key
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Key, ownPrefix) {
			continue
		}
		switch h.Key {
		case HeaderOrigin:
			e.Event.Origin, _ = holdfast.ParseCoordinates(string(h.Value))
		case HeaderHop:
			e.Hop = readInt(string(h.Value))
		case HeaderEpoch:
			e.Epoch = int32(readInt(string(h.Value))) //nolint:gosec // readInt is bounded to 31 bits
		case HeaderDue:
			e.Due = readTime(string(h.Value))
		case HeaderRedrive:
			e.Redrive = readRedrive(string(h.Value))
		case HeaderClass:
			e.Failure.Class = holdfast.ParseClass(string(h.Value))
		case HeaderCode:
			e.Failure.Code = string(h.Value)
		}
	}
	if e.Event.Origin.IsZero() {
		e.Event.Origin = e.At
	}
	return e
}
