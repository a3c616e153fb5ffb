package offsets_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast.internal/internal/delivery/offsets"
)

// model is the naive truth: the partition's log, and what was ever finished.
type model struct {
	log  []int64        // offsets that hold a record
	done map[int64]bool // finished by any owner
	from int64          // what this owner started at
	read int            // records of the log this owner has read
}

func (m *model) next() int64 {
	if m.read == 0 || m.log[m.read-1] < m.from {
		return m.from
	}
	return m.log[m.read-1] + 1
}

func (m *model) unfinished() (open []int64) {
	for _, o := range m.log[:m.read] {
		if o >= m.from && !m.done[o] {
			open = append(open, o)
		}
	}
	return open
}

func (m *model) head() int64 {
	if open := m.unfinished(); len(open) > 0 {
		return open[0]
	}
	return m.next()
}

// rewind is a new owner that starts at an offset.
func (m *model) rewind(to int64) {
	m.from, m.read = to, 0
	for m.read < len(m.log) && m.log[m.read] < to {
		m.read++
	}
}

// drawLog returns offsets with gaps of all sizes.
func drawLog(t *rapid.T, n int) []int64 {
	log := make([]int64, 0, n)
	at := rapid.Int64Range(0, 1000).Draw(t, "first")
	step := rapid.SampledFrom([]int64{1, 1, 1, 1, 1, 1, 2, 3, 40, 300, 1 << 40})
	dense := rapid.Bool().Draw(t, "dense")
	for range n {
		log = append(log, at)
		if dense {
			at++
		} else {
			at += step.Draw(t, "step")
		}
	}
	return log
}

// TestTrackerIsTheModel runs one partition through owners that read, finish in
// any order, commit and are replaced, against a map. Few enough records that
// the metadata never has to cut anything off.
func TestTrackerIsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{log: drawLog(t, rapid.IntRange(1, 700).Draw(t, "records")), done: map[int64]bool{}}
		m.rewind(m.log[0])
		tr, _ := offsets.New(-1, "")
		first := true // this owner knows nothing yet
		t.Repeat(map[string]func(*rapid.T){
			"read": func(t *rapid.T) {
				for range rapid.IntRange(1, 300).Draw(t, "n") {
					if m.read == len(m.log) {
						return
					}
					o := m.log[m.read]
					m.read++
					if got := tr.Add(o); got != m.done[o] {
						t.Fatalf("add %d: finished %t, want %t", o, got, m.done[o])
					}
					first = false
				}
			},
			"skip": func(*rapid.T) {
				if m.read < len(m.log) {
					m.done[m.log[m.read]] = true
					tr.Skip(m.log[m.read])
					m.read++
					first = false
				}
			},
			"finish": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "n") {
					if open := m.unfinished(); len(open) > 0 {
						o := rapid.SampledFrom(open).Draw(t, "offset")
						m.done[o] = true
						tr.Finish(o)
					}
				}
			},
			"finish a stretch": func(t *rapid.T) {
				open := m.unfinished()
				if len(open) == 0 {
					return
				}
				at := rapid.IntRange(0, len(open)-1).Draw(t, "at")
				for _, o := range open[at:rapid.IntRange(at, len(open)).Draw(t, "to")] {
					m.done[o] = true
					tr.Finish(o)
				}
			},
			"finish what is not open": func(t *rapid.T) {
				o := rapid.Int64Range(-5, m.next()+5).Draw(t, "offset")
				if tr.Finished(o) || o >= m.next() {
					tr.Finish(o)
				}
			},
			"replaced": func(t *rapid.T) {
				o, metadata, _ := tr.Commit()
				if o < 0 {
					return
				}
				next, err := offsets.New(o, metadata)
				if err != nil {
					t.Fatalf("commit %d %q: %v", o, metadata, err)
				}
				tr = next
				m.rewind(o)
				if rapid.Bool().Draw(t, "once more") {
					if _, _, changed := tr.Commit(); changed {
						t.Fatal("an owner that did nothing has something to commit")
					}
				}
			},
			"": func(t *rapid.T) {
				if first {
					return
				}
				compare(t, tr, m)
			},
		})
	})
}

func compare(t *rapid.T, tr *offsets.Tracker, m *model) {
	if tr.Head() != m.head() || tr.Next() != m.next() || tr.Outstanding() != len(m.unfinished()) {
		t.Fatalf("head %d, next %d, outstanding %d; want %d, %d, %d",
			tr.Head(), tr.Next(), tr.Outstanding(), m.head(), m.next(), len(m.unfinished()))
	}
	for _, o := range m.log[:m.read] {
		if want := o < m.from || m.done[o]; tr.Finished(o) != want {
			t.Fatalf("offset %d: finished %t, want %t", o, !want, want)
		}
		if !tr.Finished(o-1) && (o == 0 || !slices.Contains(m.log, o-1)) {
			t.Fatalf("the gap at %d is not finished", o-1)
		}
	}
	for _, o := range []int64{tr.Next(), tr.Next() + 1000} {
		if tr.Finished(o) {
			t.Fatalf("offset %d is finished and was not read", o)
		}
	}
	size := tr.Size()
	if _, metadata, _ := tr.Commit(); len(metadata) > size || size > offsets.MaxMetadata {
		t.Fatalf("size %d for %d bytes", size, len(metadata))
	}
}

// TestTooMuchIsCutAtTheEnd has more to tell than fits: what the next owner
// knows is true, and a prefix of the truth.
func TestTooMuchIsCutAtTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const n = 40_000
		tr, _ := offsets.New(0, "")
		for o := range int64(n) {
			tr.Add(o)
		}
		stride := rapid.Int64Range(2, 60).Draw(t, "stride") // one open record in so many
		shift := rapid.Int64Range(1, stride).Draw(t, "shift")
		end := rapid.Int64Range(n/2, n).Draw(t, "end")
		open := func(o int64) bool { return o == 0 || o >= end || (o+shift)%stride == 0 }
		for o := range int64(n) {
			if !open(o) {
				tr.Finish(o)
				if o%997 == 0 {
					checkSize(t, tr)
				}
			}
		}
		checkSize(t, tr)
		offset, metadata, _ := tr.Commit()
		next, err := offsets.New(offset, metadata)
		if err != nil {
			t.Fatal(err)
		}
		known := next.Add(0)
		if known {
			t.Fatal("the head is called finished")
		}
		cut := int64(n)
		for o := int64(1); o < n; o++ {
			finished := next.Add(o)
			switch {
			case finished && open(o):
				t.Fatalf("offset %d is called finished and is not", o)
			case finished && o > cut:
				t.Fatalf("offset %d is known and %d is not", o, cut)
			case !finished && !open(o):
				cut = min(cut, o)
			}
		}
		if cut < n && len(metadata) < offsets.MaxMetadata-10 {
			t.Fatalf("cut at %d in %d bytes", cut, len(metadata))
		}
	})
}

func checkSize(t *rapid.T, tr *offsets.Tracker) {
	size := tr.Size()
	_, metadata, _ := tr.Commit()
	if size < len(metadata) || size > offsets.MaxMetadata {
		t.Fatalf("size %d for %d bytes", size, len(metadata))
	}
}
