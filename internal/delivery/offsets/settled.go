package offsets

import "slices"

// Settled is what a commit says of a partition, for those who only look.
type Settled struct {
	head   int64
	beyond []span // ascending
}

// ReadSettled opens a commit: its offset, below 0 where there is none, and its
// metadata. Beside an error, which says what is wrong with the metadata, what
// is returned knows of the offset alone.
func ReadSettled(offset int64, metadata string) (Settled, error) {
	spans, err := decode(offset, metadata)
	return Settled{head: max(offset, -1), beyond: spans}, err
}

// Head returns the committed offset, that of the first record which is not
// finished; -1 where nothing was committed.
func (s Settled) Head() int64 { return s.head }

// End returns the offset behind the last one that is finished, -1 where
// nothing was committed.
func (s Settled) End() int64 {
	if n := len(s.beyond); n > 0 {
		return s.beyond[n-1].to
	}
	return s.head
}

// Has reports whether what lies at an offset is finished. Of a gap in the log
// the answer means nothing.
func (s Settled) Has(offset int64) bool {
	if offset < s.head {
		return true
	}
	_, met := slices.BinarySearchFunc(s.beyond, offset, func(s span, at int64) int {
		switch {
		case s.to <= at:
			return -1
		case s.from > at:
			return 1
		}
		return 0
	})
	return met
}
