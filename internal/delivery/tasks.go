package delivery

import (
	"iter"
	"math/rand/v2"
)

// tasks are the outstanding records of a shard that are in memory, by their
// entry. Entries use ids again, so that those in memory lie close together: a
// table of pages is a few times as fast as a map, and each record is looked up
// four times on its way.
type tasks struct {
	pages []*page
}

const (
	pageBits = 5
	pageMask = 1<<pageBits - 1
	// stride is a prime, so that it leads through any number of pages.
	stride = 1_000_003
)

type page struct {
	tasks [1 << pageBits]*task
	used  int
}

// at is the task of an entry; nil if it is not in memory.
func (ts *tasks) at(i id) *task {
	if n := int(i >> pageBits); n < len(ts.pages) && ts.pages[n] != nil {
		return ts.pages[n].tasks[i&pageMask]
	}
	return nil
}

// put sets the task of an entry that has none.
func (ts *tasks) put(i id, t *task) {
	n := int(i >> pageBits)
	for len(ts.pages) <= n {
		ts.pages = append(ts.pages, nil)
	}
	if ts.pages[n] == nil {
		ts.pages[n] = new(page)
	}
	ts.pages[n].tasks[i&pageMask] = t
	ts.pages[n].used++
}

// drop removes the task of an entry that has one. The first page stays, or one
// record at a time would make a page each.
func (ts *tasks) drop(i id) {
	n := int(i >> pageBits)
	p := ts.pages[n]
	p.tasks[i&pageMask] = nil
	if p.used--; p.used == 0 && n > 0 {
		ts.pages[n] = nil
	}
}

// all begins anywhere and goes to and fro, so that the first few pages are a
// sample: records of one page came at one time. Tasks may be dropped meanwhile.
func (ts *tasks) all() iter.Seq2[id, *task] {
	return func(yield func(id, *task) bool) {
		if len(ts.pages) == 0 {
			return
		}
		begin := rand.IntN(len(ts.pages)) //nolint:gosec // nothing to guess
		for k := range ts.pages {
			n := (begin + k*stride) % len(ts.pages)
			p := ts.pages[n]
			if p == nil {
				continue
			}
			for j := range p.tasks { // not of a copy: some may be dropped
				if t := p.tasks[j]; t != nil && !yield(id(n<<pageBits|j), t) { //nolint:gosec // it was an id
					return
				}
			}
		}
	}
}
