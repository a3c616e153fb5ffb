package dlq_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// I15: who lets a sink go on, and why, is written down with it.
func TestResumeSaysSoToTheWorkersAndToTheAudit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.box.Resume(b.ctx, dlq.Job{ID: "sr-1", By: "ana", Reason: " "}, false); !errors.Is(err, dlq.ErrNoReason) {
		t.Errorf("without a reason: %v", err)
	}
	b.must(b.box.Resume(b.ctx, job("sr-1"), false))
	var heard []disposition.Resume
	for _, r := range b.all(topics.Dispositions) {
		if sink, word, ok := disposition.ReadResume(r); ok && sink == b.box.Target.Name {
			heard = append(heard, word)
		}
	}
	if len(heard) != 1 || heard[0].By != "ana" || heard[0].Reason != "INC-2041" || heard[0].At.IsZero() {
		t.Errorf("heard %+v", heard)
	}
	if lines := b.audit(); len(lines) != 1 || !strings.Contains(lines[0], `"act":"resumed"`) || !strings.Contains(lines[0], `"by":"ana"`) {
		t.Errorf("audit %v", lines)
	}
	// It is no disposition of any letter.
	b.bury(b.letter("k", 1))
	if open := b.list(dlq.ListOptions{}); len(open) != 1 {
		t.Errorf("open: %+v", open)
	}
}

func TestResumeNeedsItsTopic(t *testing.T) {
	t.Parallel()
	bare, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bare.Close)
	connect := []kgo.Opt{kgo.SeedBrokers(bare.ListenAddrs()...)}
	client, err := kgo.NewClient(connect...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	box := dlq.Box{Target: dlq.Target{Name: "s"}, Client: client, Scanner: scan.Scanner{Connect: connect}}
	if err := box.Resume(t.Context(), job("sr-1"), false); !errors.Is(err, scan.ErrNoTopic) {
		t.Errorf("%v", err)
	}
}
