package record

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"holdfast.internal"
)

// TestOutlineSaysWhatReadSays of everything that places a record.
func TestOutlineSaysWhatReadSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		e := envelope(rt)
		if rapid.Bool().Draw(rt, "parked") {
			e.Park(holdfast.Coordinates{Topic: "a.v1", Offset: 3})
		}
		r := landed(e.To("retry.s.1m", 2, 7))
		if rapid.Bool().Draw(rt, "written by hand") {
			r.Headers = nil
		}
		full, short := Read(r, FromHoldfast), Outline(r)
		if short.Copy() != full.Copy() || short.Epoch != full.Epoch || !short.Due.Equal(full.Due) ||
			string(short.Event.Key) != string(full.Event.Key) || short.Parked() != full.Parked() || short.At != full.At {
			rt.Errorf("outline %+v, read %+v", short, full)
		}
	})
}

// BenchmarkParked reads a record as it lies in a tier after one failure.
func BenchmarkParked(b *testing.B) {
	now := time.Now()
	e := &Envelope{
		Event: holdfast.Event{ID: "crm/in_00000001", Key: []byte("cus_1"), Origin: holdfast.Coordinates{Topic: "crm.invoice.v1", Offset: 7}, Time: now},
		Sink:  "stripe", Spent: 1, Due: now, FirstAttempt: now,
	}
	e.Fail(holdfast.Failure{Class: holdfast.ClassVendor5xx, Status: 503}, now)
	e.Attempts = e.Attempts.Add(Entry{Time: now, Class: holdfast.ClassVendor5xx, Status: 503, Millis: 31})
	r := e.To("retry.stripe.1m", 0, 1)
	for name, read := range map[string]func(*kgo.Record) *Envelope{
		"read":    func(r *kgo.Record) *Envelope { return Read(r, FromHoldfast) },
		"outline": Outline,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read(r)
			}
		})
	}
}
