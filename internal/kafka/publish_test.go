package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"holdfast.internal"
	"holdfast.internal/producers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "orders.v1"

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(2, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, c *kfake.Cluster, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts, err := Options(Config{Brokers: c.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// TestPublishWritesWhatItIsGiven: key, value, headers and time; and the result
// of each record is its own.
func TestPublishWritesWhatItIsGiven(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	cl := client(t, c)
	at := time.UnixMilli(1_764_000_000_123)
	errs := NewPublisher(cl).Publish(t.Context(), []producers.Record{
		{Topic: topic, Key: []byte("k"), Value: []byte("v"), Time: at, Headers: []holdfast.Header{{Name: "h", Value: []byte("1")}, {Name: "h", Value: []byte("2")}}},
		{Topic: "no.such.v1", Value: []byte("lost")},
		{Topic: topic, Key: []byte("k"), Value: []byte("v2")},
	})
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], kerr.UnknownTopicOrPartition) || errs[2] != nil {
		t.Fatalf("errors %v", errs)
	}
	cl.AddConsumeTopics(topic)
	var got []*kgo.Record
	for len(got) < 2 && t.Context().Err() == nil {
		got = append(got, cl.PollFetches(t.Context()).Records()...)
	}
	r := got[0]
	if string(r.Key) != "k" || string(r.Value) != "v" || !r.Timestamp.Equal(at) || len(r.Headers) != 2 || string(r.Headers[1].Value) != "2" || string(got[1].Value) != "v2" {
		t.Errorf("got %+v and %+v", r, got[1])
	}
}

// TestNothingIsWrittenBehindAFailedRecord of its partition, so that an error
// never lets a later record of a key overtake an earlier one.
func TestNothingIsWrittenBehindAFailedRecord(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: 1})
	cl := client(t, c, kgo.ProducerLinger(0), kgo.MaxProduceRequestsInflightPerBroker(1), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	records := make([]producers.Record, 50)
	for i := range records {
		records[i] = producers.Record{Topic: topic, Value: []byte{byte(i)}}
	}
	errs := NewPublisher(cl).Publish(t.Context(), records)
	if h.Hits() == 0 {
		t.Fatal("the fault did not happen")
	}
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	if errs[0] == nil {
		t.Error("the first record did not fail")
	}
	written, gap := int64(0), false
	for i, err := range errs {
		switch {
		case err != nil && written > 0:
			gap = true
			t.Errorf("record %d failed behind one that was written: %v", i, err)
		case err == nil:
			written++
		}
	}
	if o, _ := ends.Lookup(topic, 0); o.Offset != written || gap {
		t.Errorf("%d are written, %d were reported so", o.Offset, written)
	}
}

// TestPublishOfNothing ends.
func TestPublishOfNothing(t *testing.T) {
	t.Parallel()
	if errs := NewPublisher(client(t, cluster(t))).Publish(t.Context(), nil); len(errs) != 0 {
		t.Errorf("errors %v", errs)
	}
}

// TestPublishAfterClose reports, and does not wait.
func TestPublishAfterClose(t *testing.T) {
	t.Parallel()
	cl := client(t, cluster(t))
	cl.Close()
	errs := NewPublisher(cl).Publish(context.Background(), []producers.Record{{Topic: topic}})
	if len(errs) != 1 || !errors.Is(errs[0], kgo.ErrClientClosed) {
		t.Errorf("errors %v", errs)
	}
}
