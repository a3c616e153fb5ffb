package copartition

import (
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKafkaDynamic(t *testing.T) {
	t.Parallel()
	driveDynamic(onKafka(t))
}

func TestKafkaStatic(t *testing.T) {
	t.Parallel()
	driveStatic(onKafka(t))
}

// TestKafkaAnotherTopic: a static member comes back with a topic more. The
// broker gives it its share as it was; wholeAndPart tells, and a rebalance mends it.
func TestKafkaAnotherTopic(t *testing.T) {
	t.Parallel()
	f := onKafka(t)
	extra := f.topics[4]
	f.topics = f.topics[:4]
	began := time.Now()
	f.start("a", true)
	f.settled("a joins", began)
	b := f.start("b", true)
	f.settled("b joins", began)
	pass(2 * heartbeat)

	b.stop()
	began = time.Now()
	b = f.start("b", true, extra)
	f.settled("b is restarted with another topic", began)
	pass(3 * heartbeat)
	if _, part := b.wholeAndPart(append(slices.Clone(f.topics), extra)); len(part) != numbers/2 {
		t.Errorf("part of %v is there, want the %d numbers of b without the topic that is new", part, numbers/2)
	}
	began = time.Now()
	b.client.ForceRebalance()
	f.await("b has the topic that is new", func() bool { return len(b.holds[extra]) == numbers/2 })
	t.Logf("a rebalance gave it the topic after %.2f s", time.Since(began).Seconds())
}

// TestKafkaGrowth: a source that grows is assigned beyond its old size only
// when the last of its tiers has grown.
func TestKafkaGrowth(t *testing.T) {
	t.Parallel()
	f := onKafka(t)
	f.opts = append(f.opts, kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond))
	began := time.Now()
	a, b := f.start("a", false), f.start("b", false)
	f.settled("two join", began)
	adm := kadm.NewClient(a.client)
	for i, topic := range f.topics {
		if i == len(f.topics)-1 {
			pass(3 * time.Second)
			f.settled("all topics but one have grown", began)
		}
		grown, err := adm.UpdatePartitions(t.Context(), numbers+2, topic)
		if err == nil {
			err = grown.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f.await("all topics have grown", func() bool {
		own, _ := wholeAndPart(a.holds, f.topics...)
		others, _ := wholeAndPart(b.holds, f.topics...)
		return len(own) == numbers/2+1 && len(others) == numbers/2+1
	})
}

func (w *worker) wholeAndPart(topics []string) (whole, part []int32) {
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	return wholeAndPart(w.holds, topics...)
}

// onKafka is a fleet on a real broker, with topics of its own.
func onKafka(t *testing.T) *fleet {
	t.Helper()
	brokers := os.Getenv("HOLDFAST_TEST_KAFKA")
	if brokers == "" {
		t.Skip("SKIPPED: HOLDFAST_TEST_KAFKA names no broker")
	}
	id := "copartition-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "."
	var topics []string
	for _, topic := range five {
		topics = append(topics, id+topic)
	}
	seeds := kgo.SeedBrokers(strings.Split(brokers, ",")...)
	client, err := kgo.NewClient(seeds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	adm := kadm.NewClient(client)
	made, err := adm.CreateTopics(t.Context(), numbers, -1, nil, topics...)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the workers have closed
		if _, err := adm.DeleteTopics(context.WithoutCancel(t.Context()), topics...); err != nil {
			t.Error(err)
		}
	})
	return &fleet{t: t, group: id + "sink", topics: topics, opts: []kgo.Opt{seeds}, dial: (&net.Dialer{}).DialContext}
}
