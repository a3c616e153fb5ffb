//go:build synctests

package delivery

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

// onCall is the person who looks after the dead letters, as `holdfast dlq`
// does: of equal copies the first is shown, and each is decided on once.
func (s *sim) onCall(ctx context.Context) {
	client, err := kgo.NewClient(append(s.opts, kgo.Dialer(s.dial), kgo.ConsumeTopics(topics.DeadLetters("s")),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	seen := map[record.Copy]bool{}
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		for _, r := range fetches.Records() {
			letter := record.Read(r, record.FromHoldfast)
			if letter.Parked() || seen[letter.Copy()] {
				continue
			}
			seen[letter.Copy()] = true
			if !s.decide(ctx, client, letter) {
				return
			}
		}
	}
}

// decide does with a letter what the plan says; false once ctx has ended.
func (s *sim) decide(ctx context.Context, client *kgo.Client, letter *record.Envelope) bool {
	i, err := strconv.Atoi(letter.Event.ID)
	if err != nil || !s.plan.events[i].refused {
		return true // dead for no reason, which the books will tell
	}
	e := s.plan.events[i]
	if sleep(ctx, e.think) != nil {
		return false
	}
	s.mu.Lock()
	s.books.decided[i] = decided{e.decision, s.now()}
	s.mu.Unlock()
	note, err := disposition.Disposition{State: e.decision, By: "ana", Reason: "INC-1", At: time.Now()}.Record(letter.At)
	if err != nil {
		panic(err)
	}
	records := []*kgo.Record{note}
	if e.decision == disposition.Redriven {
		again := letter.ToRedrive(topics.Redrive("s"), record.Redrive{Job: "rd-1", Count: letter.Redrive.Count + 1, By: "ana"})
		records = []*kgo.Record{again, note}
	}
	for _, r := range records {
		for client.ProduceSync(ctx, r).FirstErr() != nil { // a person does not give up
			if sleep(ctx, 100*time.Millisecond) != nil {
				return false
			}
		}
	}
	return true
}
