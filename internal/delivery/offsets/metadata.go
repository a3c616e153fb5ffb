package offsets

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// MaxMetadata is the longest metadata that Commit returns, in bytes: the
// default of the broker's offset.metadata.max.bytes.
const MaxMetadata = 4096

const (
	prefixRuns = "hf1r."
	prefixBits = "hf1b."
	maxBody    = (MaxMetadata - len(prefixRuns)) * 3 / 4 // bytes before base64
)

// length returns how long the metadata of so many body bytes is.
func length(body int) int { return len(prefixRuns) + base64.RawURLEncoding.EncodedLen(body) }

// uvarintLen returns how many bytes the uvarint of v takes.
func uvarintLen(v int64) int { return (bits.Len64(uint64(v)|1) + 6) / 7 } //nolint:gosec // offsets and their distances are not negative

// form is how the spans are best written.
type form struct {
	runs  bool  // as runs, else as bits
	bytes int   // of runs or bits
	reach int64 // what is finished from here on is cut off
}

// measure chooses the form. Spans that do not fit are not all looked at.
func measure(head int64, spans func(func(span) bool)) form {
	room := maxBody - uvarintLen(head)
	limit := head + min(int64(8*room), math.MaxInt64-head) // where bits end
	runs, bitmap := form{runs: true, reach: head}, form{reach: head}
	runsFit, bitsFit := true, true
	at := head
	for s := range spans {
		cost := uvarintLen(s.from-at) + uvarintLen(s.to-s.from)
		at = s.to
		if runsFit = runsFit && runs.bytes+cost <= room; runsFit {
			runs.bytes += cost
			runs.reach = s.to
		}
		if s.from < limit {
			bitmap.reach = min(s.to, limit)
		}
		if bitsFit = s.to <= limit; !bitsFit && !runsFit {
			break
		}
	}
	bitmap.bytes = int((bitmap.reach - head + 7) / 8)
	switch {
	case runsFit && (!bitsFit || runs.bytes <= bitmap.bytes):
		return runs
	case bitsFit || bitmap.reach > runs.reach:
		return bitmap
	}
	return runs
}

// encode returns what is finished beyond the head as text, "" for nothing.
func (t *Tracker) encode() string {
	head := t.Head()
	f := measure(head, t.spans)
	if f.bytes == 0 {
		return ""
	}
	text := make([]byte, 0, MaxMetadata)
	body := binary.AppendUvarint(make([]byte, 0, maxBody), uint64(head)) //nolint:gosec // what is finished beyond it makes it known
	if f.runs {
		text = append(text, prefixRuns...)
		body = appendRuns(body, head, f.reach, t.spans)
	} else {
		text = append(text, prefixBits...)
		body = appendBits(body, head, f, t.spans)
	}
	return string(base64.RawURLEncoding.AppendEncode(text, body))
}

func appendRuns(body []byte, head, reach int64, spans func(func(span) bool)) []byte {
	at := head
	for s := range spans {
		if s.to > reach {
			break
		}
		body = binary.AppendUvarint(body, uint64(s.from-at))   //nolint:gosec // spans ascend
		body = binary.AppendUvarint(body, uint64(s.to-s.from)) //nolint:gosec // spans are not empty
		at = s.to
	}
	return body
}

func appendBits(body []byte, head int64, f form, spans func(func(span) bool)) []byte {
	start := len(body)
	body = append(body, make([]byte, f.bytes)...)
	bitmap := body[start:]
	for s := range spans {
		if s.from >= f.reach {
			break
		}
		for i := s.from - head; i < min(s.to, f.reach)-head; i++ {
			bitmap[i/8] |= 1 << (i % 8)
		}
	}
	return body
}

// Rules that metadata may break. It is text that anybody with access to the
// group can write.
var (
	errLong     = fmt.Errorf("longer than %d bytes", MaxMetadata)
	errForeign  = errors.New("not of a version this worker knows")
	errUnknown  = errors.New("there is no committed offset it could belong to")
	errVarint   = errors.New("a number is cut off or exceeds 64 bits")
	errEmptyRun = errors.New("a run is empty")
	errBeyond   = errors.New("it ends beyond the last possible offset")
	errNothing  = errors.New("nothing is finished in it")
	errZeroes   = errors.New("the bits end in a zero byte")
)

// decode returns the spans that the metadata of a commit at start tells, and
// nothing beside an error. It takes at most 200 KiB, whatever the text.
func decode(start int64, text string) ([]span, error) {
	if text == "" {
		return nil, nil
	}
	spans, err := parse(start, text)
	if err != nil {
		return nil, fmt.Errorf("commit metadata: %w", err)
	}
	return spans, nil
}

func parse(start int64, text string) ([]span, error) {
	if len(text) > MaxMetadata {
		return nil, errLong
	}
	read := parseRuns
	packed, ok := strings.CutPrefix(text, prefixRuns)
	if !ok {
		read = parseBits
		if packed, ok = strings.CutPrefix(text, prefixBits); !ok {
			return nil, errForeign
		}
	}
	if start < 0 {
		return nil, errUnknown
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(packed)
	if err != nil {
		return nil, err
	}
	head, body, err := uvarint(body)
	if err != nil {
		return nil, err
	}
	if head != start {
		return nil, fmt.Errorf("written for offset %d, found at %d", head, start)
	}
	if len(body) == 0 {
		return nil, errNothing
	}
	return read(start, body)
}

func parseRuns(at int64, body []byte) ([]span, error) {
	var spans []span
	for len(body) > 0 {
		var open, done int64
		var err error
		if open, body, err = uvarint(body); err != nil {
			return nil, err
		}
		if done, body, err = uvarint(body); err != nil {
			return nil, err
		}
		if done == 0 || open == 0 && len(spans) > 0 {
			return nil, errEmptyRun
		}
		if open > math.MaxInt64-at || done > math.MaxInt64-at-open {
			return nil, errBeyond
		}
		spans = append(spans, span{at + open, at + open + done})
		at += open + done
	}
	return spans, nil
}

func parseBits(head int64, bitmap []byte) ([]span, error) {
	if bitmap[len(bitmap)-1] == 0 {
		return nil, errZeroes
	}
	if int64(8*len(bitmap)) > math.MaxInt64-head {
		return nil, errBeyond
	}
	var spans []span
	for i := range int64(8 * len(bitmap)) {
		if bitmap[i/8]>>(i%8)&1 == 0 {
			continue
		}
		if n := len(spans); n > 0 && spans[n-1].to == head+i {
			spans[n-1].to++
		} else {
			spans = append(spans, span{head + i, head + i + 1})
		}
	}
	return spans, nil
}

// uvarint takes a number that fits an offset from the front of body.
func uvarint(body []byte) (v int64, rest []byte, err error) {
	u, n := binary.Uvarint(body)
	if n <= 0 {
		return 0, nil, errVarint
	}
	if u > math.MaxInt64 {
		return 0, nil, errBeyond
	}
	return int64(u), body[n:], nil
}
