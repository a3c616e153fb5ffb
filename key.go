package holdfast

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
)

// IdempotencyKey is the one formula: base32 of a SHA-256 over the
// length-prefixed sink, event id, step (of a sink with several; else "") and,
// if above 0, the generation. It never depends on content, time, tier or
// attempt, so a vendor sees the same key over restarts, tiers and redrives.
// 52 characters of A-Z2-7.
func IdempotencyKey(sink, eventID, step string, generation int) string {
	h := sha256.New()
	prefixed(h, sink)
	prefixed(h, eventID)
	if step != "" {
		prefixed(h, step)
	}
	if generation > 0 {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(generation))
		h.Write(b[:])
	}
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil))
}

func prefixed(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}
