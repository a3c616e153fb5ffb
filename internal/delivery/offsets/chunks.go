package offsets

import "math/bits"

const (
	chunkWords = 4
	chunkSize  = 64 * chunkWords // offsets
	// keepChunks is how many empty chunks are kept for later, 320 KiB: enough
	// for 1 M outstanding records. More goes back once nothing is outstanding.
	keepChunks = 4096
	// minEmpty spares short queues from being compacted for nothing.
	minEmpty = 16
)

// chunk is the state of chunkSize offsets from no*chunkSize on.
type chunk struct {
	no         int64
	open, done [chunkWords]uint64 // neither: a gap
	left       int32              // bits set in open
	// dropped says that finished records lay between the chunk before and this
	// one, and that their chunks were given up.
	dropped bool
}

func (c *chunk) base() int64 { return c.no * chunkSize }

// first returns the smallest open offset; there has to be one.
func (c *chunk) first() int64 {
	for w, open := range c.open {
		if open != 0 {
			return c.base() + int64(64*w+bits.TrailingZeros64(open))
		}
	}
	return c.base() + chunkSize
}

// place returns where in a chunk the offset lies.
func place(offset int64) (no int64, word int, bit uint64) {
	in := offset % chunkSize
	return offset / chunkSize, int(in / 64), 1 << (in % 64)
}

// chunks is a queue of chunks in a ring, ascending by number. The first one
// always has something open; others may be empty until compact drops them.
type chunks struct {
	ring  []chunk // its length is a power of two
	start int
	n     int
	empty int // chunks in the queue with nothing open
}

func (q *chunks) at(i int) *chunk { return &q.ring[(q.start+i)&(len(q.ring)-1)] }

// find returns the chunk of that number, nil if there is none. Numbers rise by
// at least one from chunk to chunk, which bounds the place from both ends: to
// a single one where no chunk is missing.
func (q *chunks) find(no int64) *chunk {
	if q.n == 0 || no < q.at(0).no || no > q.at(q.n-1).no {
		return nil
	}
	lo := max(0, int64(q.n-1)-(q.at(q.n-1).no-no))
	hi := min(int64(q.n-1), no-q.at(0).no)
	for lo < hi {
		mid := (lo + hi) / 2
		if q.at(int(mid)).no < no {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if c := q.at(int(lo)); c.no == no {
		return c
	}
	return nil
}

// last returns the chunk of that number at the end of the queue, made if need
// be. Numbers must not fall.
func (q *chunks) last(no int64) *chunk {
	if q.n > 0 {
		if c := q.at(q.n - 1); c.no == no {
			return c
		}
	}
	if q.n == len(q.ring) {
		q.grow()
	}
	q.n++
	q.empty++
	c := q.at(q.n - 1)
	*c = chunk{no: no}
	return c
}

func (q *chunks) grow() {
	ring := make([]chunk, max(4, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.start = ring, 0
}

// trim drops the empty chunks at the front.
func (q *chunks) trim() {
	for q.n > 0 && q.at(0).left == 0 {
		q.start = (q.start + 1) & (len(q.ring) - 1)
		q.n--
		q.empty--
	}
	if q.n == 0 && len(q.ring) > keepChunks {
		*q = chunks{}
	}
}

// crowded reports whether most chunks are empty, so that compact is paid for
// by the records that finished meanwhile.
func (q *chunks) crowded() bool { return q.empty > minEmpty && 2*q.empty > q.n }

// compact drops the empty chunks behind the first; the last stays, because
// records may still be added to it.
func (q *chunks) compact() {
	kept := 0
	dropped := false
	for i := range q.n {
		c := *q.at(i)
		if c.left == 0 && i < q.n-1 {
			dropped = true
			continue
		}
		c.dropped = c.dropped || dropped
		dropped = false
		*q.at(kept) = c
		kept++
	}
	q.n = kept
	q.empty = 0
	if q.at(kept-1).left == 0 {
		q.empty = 1
	}
}
