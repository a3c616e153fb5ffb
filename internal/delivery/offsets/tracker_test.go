package offsets_test

import (
	"runtime"
	"testing"

	"holdfast.internal/internal/delivery/offsets"
)

func start(tb testing.TB, at int64, metadata string) *offsets.Tracker {
	tb.Helper()
	tr, err := offsets.New(at, metadata)
	if err != nil {
		tb.Fatalf("New(%d, %q): %v", at, metadata, err)
	}
	return tr
}

func add(tb testing.TB, tr *offsets.Tracker, from, to int64) {
	tb.Helper()
	for o := from; o < to; o++ {
		if tr.Add(o) {
			tb.Fatalf("offset %d is finished before anybody finished it", o)
		}
	}
}

func wantHead(tb testing.TB, tr *offsets.Tracker, head, next int64, outstanding int) {
	tb.Helper()
	if tr.Head() != head || tr.Next() != next || tr.Outstanding() != outstanding {
		tb.Fatalf("head %d, next %d, outstanding %d; want %d, %d, %d",
			tr.Head(), tr.Next(), tr.Outstanding(), head, next, outstanding)
	}
}

func TestNothingIsCommittedBeforeAnythingIsKnown(t *testing.T) {
	t.Parallel()
	tr := start(t, -1, "")
	wantHead(t, tr, -1, -1, 0)
	tr.Dirty()
	if o, m, changed := tr.Commit(); o != -1 || m != "" || changed {
		t.Fatalf("commit %d %q %t of nothing", o, m, changed)
	}
	if tr.Finished(0) {
		t.Fatal("offset 0 is finished before it was read")
	}
	add(t, tr, 7, 8)
	wantHead(t, tr, 7, 8, 1)
	if !tr.Finished(6) {
		t.Fatal("what lies before the first record is not finished")
	}
}

func TestHeadIsTheFirstUnfinishedRecord(t *testing.T) {
	t.Parallel()
	tr := start(t, 10, "")
	add(t, tr, 10, 15)
	tr.Finish(12)
	tr.Finish(11)
	wantHead(t, tr, 10, 15, 3)
	tr.Finish(10)
	wantHead(t, tr, 13, 15, 2)
	for _, o := range []int64{10, 3, -1, 15, 99, 12} { // finished, below, unknown
		tr.Finish(o)
	}
	wantHead(t, tr, 13, 15, 2)
	tr.Finish(14)
	tr.Finish(13)
	wantHead(t, tr, 15, 15, 0)
}

func TestAddingARecordTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	tr := start(t, 0, "")
	add(t, tr, 0, 3)
	tr.Finish(1)
	if tr.Add(0) || !tr.Add(1) || tr.Add(2) {
		t.Fatal("a record added again does not say whether it is finished")
	}
	wantHead(t, tr, 0, 3, 2)
}

func TestGapsCountAsFinishedAndCostNothing(t *testing.T) {
	t.Parallel()
	tr := start(t, 0, "")
	add(t, tr, 0, 1)
	add(t, tr, 1<<40, 1<<40+1)
	add(t, tr, 1<<41, 1<<41+1)
	wantHead(t, tr, 0, 1<<41+1, 3)
	if !tr.Finished(1 << 39) {
		t.Fatal("a gap is not finished")
	}
	if _, m, _ := tr.Commit(); m != "" {
		t.Fatalf("metadata %q tells of gaps alone", m)
	}
	tr.Finish(0)
	wantHead(t, tr, 1<<40, 1<<41+1, 2)
	tr.Finish(1 << 41)
	tr.Finish(1 << 40)
	wantHead(t, tr, 1<<41+1, 1<<41+1, 0)
}

func TestSkippedOffsetsHoldNothingUp(t *testing.T) {
	t.Parallel()
	tr := start(t, 0, "")
	tr.Skip(0)
	wantHead(t, tr, 1, 1, 0)
	add(t, tr, 1, 2)
	tr.Skip(2)
	wantHead(t, tr, 1, 3, 1)
	tr.Finish(1)
	wantHead(t, tr, 3, 3, 0)
}

func TestCommitSaysWhetherItDiffersFromTheLast(t *testing.T) {
	t.Parallel()
	tr := start(t, 5, "")
	want := func(offset int64, told, changed bool) {
		t.Helper()
		o, m, c := tr.Commit()
		if o != offset || (m != "") != told || c != changed {
			t.Fatalf("commit %d %q %t, want %d, metadata %t, changed %t", o, m, c, offset, told, changed)
		}
	}
	want(5, false, false)
	add(t, tr, 5, 8)
	want(5, false, false)
	tr.Finish(6)
	want(5, true, true)
	want(5, true, false)
	tr.Dirty()
	want(5, true, true)
	want(5, true, false)
	tr.Finish(5)
	want(7, false, true)
}

func TestWhatIsToldSurvivesARestartBeforeItIsReadAgain(t *testing.T) {
	t.Parallel()
	tr := start(t, 0, "")
	add(t, tr, 0, 1000)
	for o := int64(500); o < 900; o++ {
		tr.Finish(o)
	}
	o, m, _ := tr.Commit()
	second := start(t, o, m)
	add(t, second, 0, 10)
	second.Finish(0)
	o, m, _ = second.Commit()
	third := start(t, o, m)
	add(t, third, 1, 500)
	for o := int64(500); o < 900; o++ {
		if !third.Add(o) {
			t.Fatalf("offset %d, finished two owners ago, is sent again", o)
		}
	}
	add(t, third, 900, 1000)
	wantHead(t, third, 1, 1000, 599)
}

func TestMillionOutstandingTakesLessThanAMebibyte(t *testing.T) { //nolint:paralleltest // it counts allocated bytes
	const n = 1 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tr := start(t, 0, "")
	add(t, tr, 0, n)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := after.HeapAlloc - before.HeapAlloc; tr.Outstanding() != n || got >= 1<<20 {
		t.Fatalf("%d bytes for %d outstanding records", got, tr.Outstanding())
	}
}
