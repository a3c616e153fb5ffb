package record

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"io"
)

// Frozen is a rendered request as a header keeps it: compressed, or its
// SHA-256 alone where that is still too large.
type Frozen []byte

const (
	frozenWhole = 'z'
	frozenSum   = 's'
	// maxThawed bounds what a header may inflate to.
	maxThawed = 4 << 20
)

// Freeze packs a request; nil for none.
func Freeze(request []byte) Frozen {
	if len(request) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteByte(frozenWhole)
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(request)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil && b.Len() <= MaxRequest && len(request) <= maxThawed {
		return b.Bytes()
	}
	sum := sha256.Sum256(request)
	return append([]byte{frozenSum}, sum[:]...)
}

// Thaw returns the request, or the SHA-256 of one that was too large, or
// neither where nothing readable was frozen.
func (f Frozen) Thaw() (request, sum []byte) {
	switch {
	case len(f) == 0:
		return nil, nil
	case f[0] == frozenSum && len(f) == 1+sha256.Size:
		return nil, f[1:]
	case f[0] == frozenWhole:
		request, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(f[1:])), maxThawed+1))
		if err != nil || len(request) > maxThawed {
			return nil, nil
		}
		return request, nil
	}
	return nil, nil
}
