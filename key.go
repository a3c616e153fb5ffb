package holdfast

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
)

// IdempotencyKey is the one formula: base32 of a SHA-256 over the
// length-prefixed sink, event id, step (of a sink with several; else "") and,
// if above 0, the generation. It never depends on content, time, tier or
// attempt, so a vendor sees the same key over restarts, tiers and redrives.
// 52 characters of A-Z2-7.
func IdempotencyKey(sink, eventID, step string, generation int) string {
	var room [256]byte // enough for all but long ids; more goes to the heap
	b := prefixed(room[:0], sink)
	b = prefixed(b, eventID)
	if step != "" {
		b = prefixed(b, step)
	}
	if generation > 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(generation))
	}
	sum := sha256.Sum256(b)
	var key [56]byte
	base32.StdEncoding.Encode(key[:], sum[:])
	return string(key[:52]) // without the padding
}

func prefixed(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
}
