package dlq_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
)

// stocked is a bench whose sink has a source of its own, in which records of
// some keys lie: their offsets are their places in the list.
func stocked(t *testing.T, keys ...string) *bench {
	t.Helper()
	b := setup(t)
	b.box.Target.Source = "source-" + uuid.NewString()[:8]
	b.create(partitions, b.box.Target.Source)
	for _, key := range keys {
		b.write(&kgo.Record{Topic: b.box.Target.Source, Partition: 1, Key: []byte(key), Value: []byte("v")})
	}
	return b
}

// from is the envelope of the source's record at an offset.
func (b *bench) from(key string, origin int64, change ...func(*record.Envelope)) *record.Envelope {
	return b.letter(key, origin, append(change, func(e *record.Envelope) { e.Event.Origin.Topic = b.box.Target.Source })...)
}

// commitAll settles a partition as a worker does that has finished some records of so many.
func (b *bench) commitAll(topic string, read int64, finished func(offset int64) bool) {
	b.Helper()
	tracker, err := offsets.New(0, "")
	b.must(err)
	for at := range read {
		tracker.Add(at)
	}
	for at := range read {
		if finished(at) {
			tracker.Finish(at)
		}
	}
	head, metadata, _ := tracker.Commit()
	_, err = kadm.NewClient(b.box.Client).CommitOffsets(b.ctx, b.box.Target.Group(), kadm.Offsets{topic: {1: {Topic: topic, Partition: 1, At: head, LeaderEpoch: -1, Metadata: metadata}}})
	b.must(err)
}

func all(int64) bool { return true }

func TestALetterIsStaleIfALaterRecordOfItsKeyWasDelivered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		place func(b *bench) // the later record
		stale int
	}{
		"delivered":                       {func(*bench) {}, 1},
		"not settled":                     {func(b *bench) { b.commitAll(b.box.Target.Source, 3, func(at int64) bool { return at != 2 }) }, 0},
		"delivered beyond the committed":  {func(b *bench) { b.commitAll(b.box.Target.Source, 3, func(at int64) bool { return at != 1 }) }, 1},
		"waits in a tier":                 {func(b *bench) { b.write(b.from("a", 2).To(b.box.Target.Retry()[0], 1, 1)) }, 0},
		"dead too":                        {func(b *bench) { b.bury(b.from("a", 2)) }, 0},
		"discarded":                       {func(b *bench) { b.decideLast("a", dlq.Discarded) }, 0},
		"redriven, and not settled there": {func(b *bench) { b.decideLast("a", dlq.Redriven) }, 0},
		"redriven, and delivered from there": {func(b *bench) {
			b.decideLast("a", dlq.Redriven)
			b.commitAll(b.box.Target.Redrive(), 1, all)
		}, 1},
		"delivered from a tier": {func(b *bench) {
			b.write(b.from("a", 2).To(b.box.Target.Retry()[1], 1, 1))
			b.commitAll(b.box.Target.Retry()[1], 1, all)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := stocked(t, "a", "b", "a")
			b.commitAll(b.box.Target.Source, 3, all)
			b.bury(b.from("a", 0), b.from("b", 1))
			c.place(b)
			send := b.plan(dlq.Selection{Stale: dlq.StaleSend, At: []holdfast.Coordinates{b.at(0), b.at(1)}})
			if send.Stale != c.stale || send.StaleUnknown != 0 || send.Sendable() != 2 {
				t.Errorf("send: %d stale, %d unknown, %d to go, want %d, 0, 2", send.Stale, send.StaleUnknown, send.Sendable(), c.stale)
			}
			skip := b.plan(dlq.Selection{Stale: dlq.StaleSkip, At: []holdfast.Coordinates{b.at(0), b.at(1)}})
			if skip.Stale != c.stale || skip.Sendable() != 2-c.stale || len(skip.Skipped) != c.stale {
				t.Errorf("skip: %d stale, %d to go, skipped %v", skip.Stale, skip.Sendable(), skip.Skipped)
			}
			for _, s := range skip.Skipped {
				if s.Letter != b.at(0).String() || !strings.Contains(s.Reason, "newer record") || !strings.Contains(s.Reason, "--allow-stale") {
					t.Errorf("skipped %+v", s)
				}
			}
			if silent := b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(0)}}); silent.Stale != 0 {
				t.Error("nobody asked")
			}
		})
	}
}

// decideLast buries the source's third record and settles its letter.
func (b *bench) decideLast(key string, state dlq.State) {
	b.Helper()
	at := b.bury(b.from(key, 2))[0]
	plan := b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(at)}})
	if state == dlq.Redriven {
		b.redrive(plan)
		return
	}
	_, err := b.box.Settle(b.ctx, plan, job("dc-1"), state)
	b.must(err)
}

// What nobody can tell is left out where stale letters are, and its plan says why.
func TestWhatNobodyCanTellIsNotSentUnderSkip(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(b *bench)
		budget  scan.Budget
		why     string
	}{
		"the budget was spent":    {func(*bench) {}, scan.Budget{Records: 1}, "budget of 1 records spent"},
		"nothing is committed":    {func(b *bench) { b.forget() }, scan.Budget{}, "no committed offset"},
		"the source is another's": {func(b *bench) { b.bury(b.letter("a", 0)) }, scan.Budget{}, "its origin is not on"},
		"the source forgot it": {func(b *bench) {
			_, err := kadm.NewClient(b.box.Client).DeleteRecords(b.ctx, kadm.Offsets{b.box.Target.Source: {1: {Topic: b.box.Target.Source, Partition: 1, At: 2}}})
			b.must(err)
		}, scan.Budget{}, "gone from"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := stocked(t, "a", "b", "b", "b", "b", "b", "b")
			b.commitAll(b.box.Target.Source, 7, all)
			b.bury(b.from("a", 0))
			c.prepare(b)
			unknown := b.all(b.box.Target.Letters())
			last := []holdfast.Coordinates{b.at(int64(len(unknown) - 1))}
			skip := b.plan(dlq.Selection{Stale: dlq.StaleSkip, StaleBudget: c.budget, At: last})
			if skip.StaleUnknown != 1 || skip.Stale != 0 || skip.Sendable() != 0 || len(skip.Skipped) != 1 || !strings.Contains(skip.Skipped[0].Reason, c.why) {
				t.Errorf("skip: %+v, want one unknown for %q", skip, c.why)
			}
			if send := b.plan(dlq.Selection{Stale: dlq.StaleSend, StaleBudget: c.budget, At: last}); send.StaleUnknown != 1 || send.Sendable() != 1 {
				t.Errorf("send: %+v", send)
			}
		})
	}
}

// forget drops what the sink's group has committed.
func (b *bench) forget() {
	b.Helper()
	_, err := kadm.NewClient(b.box.Client).DeleteOffsets(b.ctx, b.box.Target.Group(), kadm.TopicsSet{b.box.Target.Source: {1: {}}})
	b.must(err)
}

// One scan serves all letters of a partition, and each is judged by its own place.
func TestEachLetterIsJudgedByItsOwnPlace(t *testing.T) {
	t.Parallel()
	b := stocked(t, "a", "b", "a", "b", "a", "c", "", "")
	b.commitAll(b.box.Target.Source, 8, all)
	noKey := func(e *record.Envelope) { e.Event.Key = nil }
	b.bury(b.from("a", 0), b.from("b", 1), b.from("b", 3), b.from("a", 4), b.from("c", 5), b.from("", 6, noKey))
	plan := b.plan(dlq.Selection{Stale: dlq.StaleSkip, StaleBudget: dlq.StaleBudget()})
	var skipped []string
	for _, s := range plan.Skipped {
		skipped = append(skipped, s.Letter)
	}
	// a@0 was followed by a@2, which was delivered; b@1 by b@3, which is dead.
	if want := []string{b.at(0).String()}; !slices.Equal(skipped, want) || plan.Sendable() != 5 || plan.StaleUnknown != 0 {
		t.Errorf("skipped %v, %d to go, %d unknown", skipped, plan.Sendable(), plan.StaleUnknown)
	}
}

func TestAProcessorHasNoStaleLetters(t *testing.T) {
	t.Parallel()
	b := stocked(t, "a", "a")
	b.box.Target.Processor, b.box.Target.Tiers = true, nil
	b.commitAll(b.box.Target.Source, 2, all)
	b.bury(b.from("a", 0))
	if plan := b.plan(dlq.Selection{Stale: dlq.StaleSkip}); plan.Stale != 0 || plan.Sendable() != 1 {
		t.Errorf("%+v", plan)
	}
}
