package offsets

import "testing"

func TestSettledAgreesWithTheTrackerThatCommitted(t *testing.T) {
	t.Parallel()
	tracker, _ := New(10, "")
	for at := int64(10); at < 900; at++ {
		tracker.Add(at)
	}
	done := func(at int64) bool { return at%3 != 1 && at < 700 } // 10 is not finished
	for at := int64(10); at < 900; at++ {
		if done(at) {
			tracker.Finish(at)
		}
	}
	offset, metadata, _ := tracker.Commit()
	s, err := ReadSettled(offset, metadata)
	if err != nil {
		t.Fatal(err)
	}
	if s.Head() != 10 || s.End() != 700 {
		t.Errorf("head %d, end %d, want 10 and 700", s.Head(), s.End())
	}
	for at := range int64(1000) {
		if want := at < 10 || done(at); s.Has(at) != want {
			t.Errorf("%d: %v, want %v", at, s.Has(at), want)
		}
	}
}

func TestSettledOfNothingAndOfNonsense(t *testing.T) {
	t.Parallel()
	none, err := ReadSettled(-1, "")
	if err != nil || none.Head() != -1 || none.End() != -1 || none.Has(0) {
		t.Errorf("no commit: %+v, %v", none, err)
	}
	plain, err := ReadSettled(7, "somebody else's")
	if err == nil || plain.End() != 7 || !plain.Has(6) || plain.Has(7) {
		t.Errorf("foreign metadata: %+v, %v", plain, err)
	}
}
