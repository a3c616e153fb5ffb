package offsets

// remeasure is after how many finished records Size measures again. Each may
// add a few bytes meanwhile: that is how far Size is ahead of the truth. What
// has too much to tell is measured less often: it stays so for a while.
const (
	remeasure     = 64
	remeasureFull = 16 * remeasure
)

// sizing remembers what the runs took when they were last measured.
type sizing struct {
	known   bool
	runs    int // bytes
	changes int // records since that finished, or were told to have
}

func (s sizing) stale() bool {
	return !s.known || s.changes >= remeasureFull || s.changes >= remeasure && s.runs < maxBody
}

// Size returns about how long the metadata is that Commit would return, in
// bytes: never less, and at most [MaxMetadata]. As long as it is at most half
// of that, it may count every offset between head and next as one bit; beyond,
// it is measured, at every 64th finished record, and up to a tenth ahead (every
// 1,024th while not all of it fits).
func (t *Tracker) Size() int {
	head, end := t.Head(), t.next
	if n := len(t.told); n > 0 {
		end = max(end, t.told[n-1].to)
	}
	if end <= head+1 && len(t.told) == 0 {
		return 0 // the one offset there is is unfinished
	}
	start := uvarintLen(head)
	bitmap := MaxMetadata
	if end-head <= int64(8*maxBody) {
		bitmap = min(MaxMetadata, length(start+int((end-head+7)/8)))
	}
	if bitmap <= MaxMetadata/2 {
		return bitmap
	}
	if t.size.stale() {
		t.size = sizing{known: true, runs: t.runs(head)}
	}
	// A record splits a run at most once, and the new parts are no longer than all.
	ahead := t.size.changes * (1 + uvarintLen(end-head))
	return min(bitmap, length(start+t.size.runs+ahead))
}

// runs returns the bytes that everything finished takes as runs; no more than
// maxBody are counted.
func (t *Tracker) runs(head int64) int {
	n, at := 0, head
	for s := range t.spans {
		if n += uvarintLen(s.from-at) + uvarintLen(s.to-s.from); n >= maxBody {
			return maxBody
		}
		at = s.to
	}
	return n
}
