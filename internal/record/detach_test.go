package record

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestDetachedBytesAreTheSame, and what they came from may change.
func TestDetachedBytesAreTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := landed(envelope(rt).To("retry.s.1m", 2, 7))
		want, got := Read(r, FromHoldfast), Read(r, FromHoldfast)
		got.Detach()
		if !equal(want, got) || (want.Payload == nil) != (got.Payload == nil) {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
		payload, key := bytes.Clone(got.Payload), bytes.Clone(got.Event.Key)
		clear(r.Value)
		clear(r.Key)
		if !bytes.Equal(got.Payload, payload) || !bytes.Equal(got.Event.Key, key) {
			rt.Error("the bytes are still those that were read")
		}
		if len(payload) > 0 && cap(got.Payload) != len(got.Payload) {
			rt.Error("what is appended to the payload would overwrite the key")
		}
	})
}
