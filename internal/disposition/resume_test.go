package disposition_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func word(t *testing.T, sink string) *kgo.Record {
	t.Helper()
	r, err := disposition.Resume{By: "ana", Reason: "INC-1", At: time.Unix(1_700_000_000, 0).UTC()}.Record(sink)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAResumeIsNoDispositionAndTheReverse(t *testing.T) {
	t.Parallel()
	r := word(t, "stripe-invoices")
	if _, _, ok := disposition.Read(r); ok {
		t.Error("a resume counts as a disposition")
	}
	sink, read, ok := disposition.ReadResume(r)
	if !ok || sink != "stripe-invoices" || read.By != "ana" || read.Reason != "INC-1" || read.At.Unix() != 1_700_000_000 {
		t.Errorf("read %q %+v %v", sink, read, ok)
	}
	note, err := disposition.Disposition{State: disposition.Discarded}.Record(letter)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*kgo.Record{
		"a disposition": note, "a tombstone": {Key: []byte("sink/s")}, "no sink": {Key: []byte("sink/"), Value: []byte("{}")}, "no json": {Key: []byte("sink/s"), Value: []byte("go")},
	} {
		if _, _, ok := disposition.ReadResume(r); ok {
			t.Errorf("%s counts as a resume", name)
		}
	}
}

// What was said before somebody listened was said to somebody else.
func TestAResumeIsHeardAtOnceAndOnce(t *testing.T) {
	t.Parallel()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics.Dispositions))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	connect := []kgo.Opt{kgo.SeedBrokers(fake.ListenAddrs()...)}
	client, err := kgo.NewClient(connect...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	say := func(sink string) {
		t.Helper()
		if err := client.ProduceSync(ctx, word(t, sink)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	say("before")
	heard, done := make(chan string, 100), make(chan error)
	go func() {
		done <- disposition.FollowResumes(ctx, connect, func(sink string, _ disposition.Resume) { heard <- sink }, func(err error) { t.Error(err) })
	}()
	// Until it listens nobody hears; then each word comes once.
	listening := ""
	for listening == "" && ctx.Err() == nil {
		say("probe")
		select {
		case listening = <-heard:
		case <-time.After(100 * time.Millisecond):
		}
	}
	if listening != "probe" {
		t.Fatalf("heard %q", listening)
	}
	began := time.Now()
	say("s")
	for sink := range heard {
		if sink == "s" {
			break
		}
		if sink != "probe" {
			t.Errorf("heard %q", sink)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("heard after %s", took)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
