package dlq_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// P1, P2: what is redriven keeps its bytes, key, event id, origin and first
// attempt, so the vendor sees the same idempotency key.
func TestRedriveSendsTheSameRecordAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.letter("cust_44", 7)
	b.bury(before)
	plan := b.plan(dlq.Selection{})
	if plan.Matched != 1 || plan.Sendable() != 1 {
		t.Fatalf("plan %+v", plan)
	}
	b.redrive(plan)
	sent := b.all(b.box.Target.Redrive())
	if len(sent) != 1 || sent[0].Partition != 1 {
		t.Fatalf("sent %v", sent)
	}
	after := record.Read(sent[0], record.FromHoldfast)
	if string(after.Payload) != string(before.Payload) || string(after.Event.Key) != "cust_44" || after.Event.ID != before.Event.ID ||
		after.Event.Origin != before.Event.Origin || !after.FirstAttempt.Equal(before.FirstAttempt) || after.Generation != 0 {
		t.Errorf("after %+v\nbefore %+v", after, before)
	}
	if after.Spent != 0 || after.Redrive != (record.Redrive{Job: "rd-1", Count: 1, By: "ana"}) {
		t.Errorf("spent %d, redrive %+v", after.Spent, after.Redrive)
	}
	if after.Event.Header("traceparent") != "" || after.Event.Header("ce_id") != "inv" {
		t.Errorf("headers %v", after.Event.Headers)
	}
	if open := b.list(dlq.ListOptions{}); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
	all := b.list(dlq.ListOptions{All: true})
	if len(all) != 1 || all[0].State != dlq.Redriven {
		t.Errorf("all: %+v", all)
	}
	shown, err := b.box.Show(b.ctx, b.at(0), false, "")
	b.must(err)
	if d := shown.Disposition; d == nil || d.By != "ana" || d.Reason != "INC-2041" || d.Job != "rd-1" || d.At.IsZero() {
		t.Errorf("disposition %+v", d)
	}
	if again := b.plan(dlq.Selection{}); again.Matched != 0 {
		t.Errorf("a second plan matches %d", again.Matched)
	}
}

func TestRedriveOfAHundredLettersIsToldToTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var letters []*record.Envelope
	for i := range int64(100) {
		letters = append(letters, b.letter("cust_"+strconv.FormatInt(i%10, 10), i))
	}
	b.bury(letters...)
	sent := b.redrive(b.plan(dlq.Selection{}))
	redriven := b.all(b.box.Target.Redrive())
	if len(redriven) != 100 {
		t.Fatalf("%d redriven", len(redriven))
	}
	o, err := sent.Outcome(b.ctx)
	b.must(err)
	if o.Pending != 100 || o.Delivered+o.Failed != 0 {
		t.Errorf("before a worker came: %+v", o)
	}
	// A worker: 0 dies again, 1 goes to a tier and is delivered from there, the
	// rest is delivered.
	dead := record.Read(redriven[0], record.FromHoldfast)
	b.bury(dead)
	waits := record.Read(redriven[1], record.FromHoldfast).To(b.box.Target.Retry()[0], 1, 8)
	tiered := b.write(waits)[0]
	b.settle(b.box.Target.Redrive(), redriven[99].Offset)
	if o, err = sent.Outcome(b.ctx); err != nil || o.Pending != 1 || o.Delivered != 98 || o.Failed != 1 {
		t.Errorf("one in a tier: %+v, %v", o, err)
	}
	b.settle(b.box.Target.Retry()[0], tiered)
	var steps int
	o, err = sent.Wait(b.ctx, func(dlq.Outcome) { steps++ })
	b.must(err)
	if o.Sent != 100 || o.Delivered != 99 || o.Failed != 1 || steps == 0 || !slices.Equal(o.DeadAgain, []string{b.at(100).String()}) {
		t.Errorf("at the end: %+v after %d steps", o, steps)
	}
}

func TestWaitEndsWithItsContextAndTellsWhatItKnows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("k", 1))
	sent := b.redrive(b.plan(dlq.Selection{}))
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	o, err := sent.Wait(ctx, func(dlq.Outcome) { cancel() })
	if !errors.Is(err, context.Canceled) || o.Pending != 1 || o.Sent != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// P3: what died late goes in the order of its origin all the same.
func TestRedriveKeepsOrderOfOriginWithinAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var letters []*record.Envelope
	for _, origin := range []int64{5, 3, 9, 1, 7, 2} {
		letters = append(letters, b.letter("k", origin), b.letter("other", origin+100))
	}
	b.bury(letters...)
	b.redrive(b.plan(dlq.Selection{}))
	order := map[string][]int64{}
	for _, r := range b.all(b.box.Target.Redrive()) {
		e := record.Read(r, record.FromHoldfast)
		order[string(r.Key)] = append(order[string(r.Key)], e.Event.Origin.Offset)
	}
	if !slices.Equal(order["k"], []int64{1, 2, 3, 5, 7, 9}) || !slices.IsSorted(order["other"]) {
		t.Errorf("order %v", order)
	}
}

func TestRedriveRefusesALoop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	times := func(n int) func(*record.Envelope) {
		return func(e *record.Envelope) { e.Redrive = record.Redrive{Job: "rd-0", Count: n} }
	}
	b.bury(b.letter("k", 1, times(2)), b.letter("k", 2, times(3)))
	plan := b.plan(dlq.Selection{})
	if plan.Matched != 2 || plan.Sendable() != 1 || len(plan.Skipped) != 1 {
		t.Fatalf("%+v", plan)
	}
	if s := plan.Skipped[0]; s.Letter != b.at(1).String() || s.Reason != "redriven 3 times already" || s.EventID != "crm/inv_2" {
		t.Errorf("skipped %+v", s)
	}
	if plan = b.plan(dlq.Selection{MaxRedrives: 10}); plan.Sendable() != 2 {
		t.Errorf("with a higher limit %+v", plan)
	}
}

func TestRedriveOfNamedLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("k", 1), b.letter("k", 2), b.letter("k", 2), b.letter("k", 3))
	// Offset 2 is a copy of offset 1: naming either settles both.
	sent := b.redrive(b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(2)}}))
	if sent.Count != 1 {
		t.Errorf("sent %d", sent.Count)
	}
	if got := offsetsOf(b.list(dlq.ListOptions{})); !slices.Equal(got, []int64{0, 3}) {
		t.Errorf("open: %v, want 0 and 3", got)
	}
	plan := b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(1), b.at(3)}})
	if plan.Matched != 2 || plan.Sendable() != 1 || plan.Skipped[0].Reason != "already redriven" {
		t.Errorf("%+v", plan)
	}
	_, err := b.box.Plan(b.ctx, dlq.Selection{At: []holdfast.Coordinates{b.at(99)}})
	if !errors.Is(err, dlq.ErrNoLetter) {
		t.Errorf("no such letter: %v", err)
	}
}

func TestRedriveTakesWhatHoldfastDidNotWrite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(&kgo.Record{Topic: b.box.Target.Letters(), Partition: 2, Value: []byte("foreign")})
	b.redrive(b.plan(dlq.Selection{}))
	sent := b.all(b.box.Target.Redrive())
	if len(sent) != 1 || sent[0].Partition != 2 || string(sent[0].Value) != "foreign" || sent[0].Key != nil {
		t.Fatalf("%+v", sent)
	}
	e := record.Read(sent[0], record.FromHoldfast)
	if e.Sink != b.box.Target.Name || e.Event.Origin.Topic != b.box.Target.Letters() || e.Redrive.Count != 1 {
		t.Errorf("%+v", e)
	}
}

func TestPlanIsFrozen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("k", 1))
	plan := b.plan(dlq.Selection{})
	b.bury(b.letter("k", 2))
	b.redrive(plan)
	if got := offsetsOf(b.list(dlq.ListOptions{})); !slices.Equal(got, []int64{1}) {
		t.Errorf("open: %v, want the later one alone", got)
	}
}

// Two people press the button: the letters go once.
func TestRedriveOfAnOldPlanSendsNothingTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("k", 1), b.letter("k", 2))
	ana, ben := b.plan(dlq.Selection{}), b.plan(dlq.Selection{Limit: 1})
	b.redrive(ben)
	if sent := b.redrive(ana); sent.Count != 1 {
		t.Errorf("sent %d, want the one that ben had left", sent.Count)
	}
	if sent := b.all(b.box.Target.Redrive()); len(sent) != 2 {
		t.Errorf("%d records on the redrive topic", len(sent))
	}
}

// P1: a redrive that dies between its transactions, or within one, leaves no
// letter half sent; run again it sends the rest.
func TestRedriveThatIsCutOffCanBeRunAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if b.fake == nil {
		t.Skip("the fault is injected into kfake")
	}
	var letters []*record.Envelope
	for i := range int64(1200) {
		letters = append(letters, b.letter("k", i))
	}
	b.bury(letters...)
	var ends atomic.Int32
	b.fake.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.fake.KeepControl()
		if ends.Add(1) != 2 {
			return nil, nil, false
		}
		response := req.ResponseKind().(*kmsg.EndTxnResponse) //nolint:forcetypeassert // by its key
		response.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
		return response, nil, true
	})
	sent, err := b.box.Redrive(b.ctx, b.plan(dlq.Selection{}), job("rd-1"))
	if err == nil || sent.Count != 500 {
		t.Fatalf("sent %d, %v; want the first chunk and an error", sent.Count, err)
	}
	if n := len(b.list(dlq.ListOptions{})); n != 700 {
		t.Errorf("%d open, want 700", n)
	}
	sent, err = b.box.Redrive(b.ctx, b.plan(dlq.Selection{}), job("rd-2"))
	if err != nil || sent.Count != 700 {
		t.Fatalf("again: sent %d, %v", sent.Count, err)
	}
	seen := map[string]int{}
	for _, r := range b.all(b.box.Target.Redrive()) {
		seen[record.Read(r, record.FromHoldfast).Event.ID]++
	}
	if len(seen) != 1200 {
		t.Errorf("%d of 1200 sent", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s sent %d times", id, n)
		}
	}
}

func TestRedriveRefusesToBeginWithoutItsTopics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plan := b.plan(dlq.Selection{})
	if _, err := b.box.Redrive(b.ctx, plan, dlq.Job{ID: "rd-1", By: "ana", Reason: " "}); !errors.Is(err, dlq.ErrNoReason) {
		t.Errorf("no reason: %v", err)
	}
	b.box.Target.Name += "-half"
	b.create(partitions, b.box.Target.Letters())
	if _, err := b.box.Redrive(b.ctx, plan, job("rd-1")); !errors.Is(err, scan.ErrNoTopic) || !strings.Contains(err.Error(), "topic apply") {
		t.Errorf("no redrive topic: %v", err)
	}
	b.box.Target.Name += "-narrow"
	b.create(partitions, b.box.Target.Letters())
	b.create(1, b.box.Target.Redrive())
	if _, err := b.box.Redrive(b.ctx, plan, job("rd-1")); !errors.Is(err, dlq.ErrPartitions) {
		t.Errorf("too few partitions: %v", err)
	}
}

func TestDiscardAndAcknowledge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("k", 1), b.letter("k", 2), b.letter("k", 3))
	n, err := b.box.Settle(b.ctx, b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(0)}}), job("dc-1"), dlq.Discarded)
	b.must(err)
	_, err = b.box.Settle(b.ctx, b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(1)}}), job("ak-1"), dlq.Acknowledged)
	b.must(err)
	if n != 1 || len(b.all(b.box.Target.Redrive())) != 0 {
		t.Errorf("noted %d", n)
	}
	if got := offsetsOf(b.list(dlq.ListOptions{})); !slices.Equal(got, []int64{2}) {
		t.Errorf("open: %v", got)
	}
	if plan := b.plan(dlq.Selection{}); plan.Sendable() != 2 {
		t.Errorf("an acknowledged letter can be redriven, a discarded one not: %+v", plan)
	}
	audit := b.audit()
	if len(audit) != 2 || !strings.Contains(audit[0], "INC-2041") || !strings.Contains(audit[0], `"act":"discarded"`) {
		t.Errorf("audit: %v", audit)
	}
}

// P1: a redrive that was killed within a transaction holds up nobody, and
// nothing of it counts.
func TestRedriveEndsTheTransactionOfAKilledOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("k", 1))
	killed, err := kgo.NewClient(append(b.connect, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("holdfast.redrive."+b.box.Target.Name))...)
	b.must(err)
	defer killed.CloseAllowingRebalance()
	b.must(killed.BeginTransaction())
	b.must(killed.ProduceSync(b.ctx,
		&kgo.Record{Topic: b.box.Target.Redrive(), Partition: 1, Value: []byte("half")},
		&kgo.Record{Topic: topics.Dispositions, Key: []byte(b.at(0).String()), Value: []byte(`{"state":"redriven"}`)},
	).FirstErr())
	if sent := b.redrive(b.plan(dlq.Selection{})); sent.Count != 1 {
		t.Errorf("sent %d", sent.Count)
	}
	if sent := b.all(b.box.Target.Redrive()); len(sent) != 1 || string(sent[0].Value) != "value 1" {
		t.Errorf("%v", sent)
	}
	if err := killed.EndTransaction(b.ctx, kgo.TryCommit); err == nil {
		t.Error("the killed one could still commit")
	}
}

// A processor settles its input and writes its dead letter in one transaction,
// and the settled offset shows first: that is no delivery.
func TestOutcomeOfAProcessorWaitsForItsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.box.Target.Processor, b.box.Target.Tiers = true, nil
	b.bury(b.letter("k", 1))
	sent := b.redrive(b.plan(dlq.Selection{}))
	redriven := b.all(b.box.Target.Redrive())[0]
	worker, err := kgo.NewClient(append(b.connect, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(b.box.Target.Name))...)
	b.must(err)
	defer worker.Close()
	b.must(worker.BeginTransaction())
	dead := record.Read(redriven, record.FromHoldfast).ToDeadLetters(b.box.Target.Letters(), 1, 1, b.box.Target.Group())
	b.must(worker.ProduceSync(b.ctx, dead).FirstErr())
	b.settle(b.box.Target.Redrive(), redriven.Offset)
	o, err := sent.Outcome(b.ctx)
	b.must(err)
	if o.Pending != 1 {
		t.Errorf("in the middle: %+v", o)
	}
	b.must(worker.EndTransaction(b.ctx, kgo.TryCommit))
	o, err = sent.Wait(b.ctx, func(o dlq.Outcome) {
		if o.Delivered > 0 {
			t.Errorf("told as delivered: %+v", o)
		}
	})
	b.must(err)
	if o.Failed != 1 || o.Delivered != 0 {
		t.Errorf("at the end: %+v", o)
	}
}

// P3: what waits behind a dead letter follows it by itself. No filter reaches
// it, and a person still may, by name.
func TestParkedRecordsAreNoOpenLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waits := func(e *record.Envelope) {
		e.Spent = 0
		e.Park(b.at(0))
	}
	b.bury(b.letter("k", 1), b.letter("k", 2, waits), b.letter("k", 3, waits))
	if got := offsetsOf(b.list(dlq.ListOptions{})); !slices.Equal(got, []int64{0}) {
		t.Errorf("open: %v, want the dead one", got)
	}
	all := b.list(dlq.ListOptions{All: true})
	if len(all) != 3 || all[0].State != dlq.Open || all[1].State != dlq.Parked || all[2].State != dlq.Parked {
		t.Errorf("all: %+v", all)
	}
	plan := b.plan(dlq.Selection{})
	if plan.Sendable() != 1 || plan.Matched != 1 || plan.Parked != 2 {
		t.Errorf("by filter: %d to go, %d parked", plan.Sendable(), plan.Parked)
	}
	if plan = b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(2)}}); plan.Sendable() != 1 {
		t.Errorf("by name: %+v", plan)
	}
	if len(plan.Behind) != 0 {
		t.Errorf("where nothing waits: %+v", plan.Behind)
	}
	b.box.Target.Park = true
	if plan = b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(2)}}); !slices.Equal(plan.Behind, []dlq.Behind{{Letter: b.at(2).String(), Front: b.at(0).String()}}) {
		t.Errorf("behind another: %+v", plan.Behind)
	}
	if plan = b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(0), b.at(2)}}); plan.Sendable() != 2 || len(plan.Behind) != 0 {
		t.Errorf("with the one in front: %+v", plan.Behind)
	}
	if plan = b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(2)}, MaxRedrives: -1}); len(plan.Skipped) != 1 || len(plan.Behind) != 0 {
		t.Errorf("one that is not sent: %+v", plan.Behind)
	}
	shown, err := b.box.Show(b.ctx, b.at(1), false, "")
	b.must(err)
	if shown.State != dlq.Parked || !strings.Contains(shown.Message, b.at(0).String()) {
		t.Errorf("shown as %s: %q", shown.State, shown.Message)
	}
}

func TestASkippedLetterIsSettled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bury(b.letter("k", 1))
	n, err := b.box.Settle(b.ctx, b.plan(dlq.Selection{}), job("sk-1"), dlq.Skipped)
	b.must(err)
	all := b.list(dlq.ListOptions{All: true})
	if n != 1 || len(b.list(dlq.ListOptions{})) != 0 || len(all) != 1 || all[0].State != dlq.Skipped {
		t.Errorf("noted %d, %+v", n, all)
	}
	if plan := b.plan(dlq.Selection{At: []holdfast.Coordinates{b.at(0)}}); plan.Sendable() != 0 || plan.Skipped[0].Reason != "already skipped" {
		t.Errorf("%+v", plan)
	}
}
