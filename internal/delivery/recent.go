package delivery

import "holdfast.internal/internal/record"

// maxRecent bounds how many copies a partition remembers.
const maxRecent = 4096

// recent is a set that forgets its oldest members. A crash between the write
// of a move and the commit behind it makes a second, equal copy; both lie
// close together, since they were written within one restart.
type recent struct {
	set   map[record.Copy]struct{}
	order []record.Copy
	at    int
}

// meet reports whether c was met before, and remembers it.
func (r *recent) meet(c record.Copy) bool {
	if _, ok := r.set[c]; ok {
		return true
	}
	if r.set == nil {
		r.set = make(map[record.Copy]struct{})
	}
	if len(r.order) < maxRecent {
		r.order = append(r.order, c)
	} else {
		delete(r.set, r.order[r.at])
		r.order[r.at] = c
		r.at = (r.at + 1) % maxRecent
	}
	r.set[c] = struct{}{}
	return false
}
