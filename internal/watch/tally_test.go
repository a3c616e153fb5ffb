package watch

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/record"
)

// dead is a dead letter of the n-th event, as it was read at an offset.
func letterAt(n, offset int64) *kgo.Record {
	e := record.Read(&kgo.Record{Topic: "orders", Offset: n, Value: []byte("v")}, record.FromProducer)
	e.Fail(holdfast.Failure{Class: holdfast.ClassValidation}, time.Unix(n, 0))
	r := e.ToDeadLetters("dlq.s", 0, 1, "holdfast.s")
	r.Offset, r.Timestamp = offset, time.Unix(1000+offset, 0)
	return r
}

func parkedAt(n, offset int64) *kgo.Record {
	e := record.Read(letterAt(n, offset), record.FromHoldfast)
	e.Park(holdfast.Coordinates{Topic: "dlq.s"})
	r := e.ToDeadLetters("dlq.s", 0, 1, "holdfast.s")
	r.Offset = offset
	return r
}

// TestTallyCountsWhatNobodyDecidedAbout, whatever comes first: the letter or
// what was decided about it.
func TestTallyCountsWhatNobodyDecidedAbout(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do     func(*tally)
		open   int64
		oldest int64 // unix seconds; 0 for none
	}{
		"nothing": {func(*tally) {}, 0, 0},
		"three letters": {func(t *tally) {
			t.read(letterAt(1, 5), false)
			t.read(letterAt(2, 6), false)
			t.read(letterAt(3, 9), false)
		}, 3, 1005},
		"closed after": {func(t *tally) {
			t.read(letterAt(1, 5), false)
			t.read(letterAt(2, 6), false)
			t.decide(5, disposition.Redriven)
		}, 1, 1006},
		"closed before": {func(t *tally) {
			t.decide(5, disposition.Discarded)
			t.read(letterAt(1, 5), false)
			t.read(letterAt(2, 6), false)
		}, 1, 1006},
		"opened again": {func(t *tally) {
			t.decide(5, disposition.Acknowledged)
			t.decide(5, disposition.Open)
			t.read(letterAt(1, 5), false)
		}, 1, 1005},
		"looked after":  {func(t *tally) { t.read(letterAt(1, 5), false); t.decide(5, disposition.Acknowledged) }, 0, 0},
		"an equal copy": {func(t *tally) { t.read(letterAt(1, 5), false); t.read(letterAt(1, 6), false) }, 1, 1005},
		"parked":        {func(t *tally) { t.read(letterAt(1, 5), false); t.read(parkedAt(2, 6), false) }, 1, 1005},
		"more than fit": {func(t *tally) {
			t.read(letterAt(1, 5), false)
			t.read(letterAt(2, 6), true)
			t.read(letterAt(3, 7), true)
		}, 3, 1005},
		"retention": {func(t *tally) { t.read(letterAt(1, 5), false); t.read(letterAt(2, 6), false); t.expire(6) }, 1, 1006},
		"decided twice": {func(t *tally) {
			t.read(letterAt(1, 5), false)
			t.decide(5, disposition.Redriven)
			t.decide(5, disposition.Redriven)
		}, 0, 0},
		"dies once more": {func(t *tally) {
			t.read(letterAt(1, 5), false)
			t.decide(5, disposition.Redriven)
			t.read(letterAt(1, 6), false)
		}, 1, 1006},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTally()
			test.do(c)
			var oldest int64
			if at := c.oldest(); !at.IsZero() {
				oldest = at.Unix()
			}
			if c.count() != test.open || oldest != test.oldest {
				t.Errorf("%d open since %d, want %d since %d", c.count(), oldest, test.open, test.oldest)
			}
			if len(c.ids) != len(c.open) {
				t.Errorf("%d ids of %d letters", len(c.ids), len(c.open))
			}
		})
	}
	c := newTally()
	c.read(letterAt(1, 5), false)
	c.decide(5, disposition.Redriven)
	if !c.decide(5, disposition.Open) {
		t.Error("a letter that is open again and not known was not reported")
	}
}
