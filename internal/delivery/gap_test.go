//go:build synctests

package delivery

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"holdfast.internal/sinks"
)

// listen records what the workers of a world complain about.
func (w *world) listen() *observer.ObservedLogs {
	core, logs := observer.New(zap.ErrorLevel)
	w.log = zap.New(core)
	return logs
}

// told is how often a reason was logged for a partition of the source.
func told(logs *observer.ObservedLogs, reason string, partition int32) (n int) {
	for _, e := range logs.All() {
		if fields := e.ContextMap(); fields["reason"] == reason && fields["topic"] == source && fields["partition"] == partition {
			n++
		}
	}
	return n
}

// into writes n records into one partition, with ids that begin with a name.
func (w *world) into(partition int32, name string, n int) {
	w.t.Helper()
	for i := range n {
		w.send(&kgo.Record{
			Topic: source, Partition: partition, Value: []byte{0},
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(name + strconv.Itoa(i))}},
		})
	}
}

func delivers(*sinks.Attempt, int) error { return nil }

// TestI13WhatRetentionTookStopsItsPartition: 40 records are deleted before they
// were read; nothing is skipped, also over a restart, the log says so within a
// minute, and the other partition goes on.
func TestI13WhatRetentionTookStopsItsPartition(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, delivers, func(w *world) {
		logs := w.listen()
		stop := w.worker()
		w.into(0, "before", 10)
		pass(5 * time.Second)
		stop()
		w.into(0, "lost", 40)
		w.into(0, "behind", 5)
		var cut kadm.Offsets
		cut.Add(kadm.Offset{Topic: source, Partition: 0, At: 50})
		if _, err := kadm.NewClient(w.client).DeleteRecords(w.t.Context(), cut); err != nil {
			t.Fatal(err)
		}
		for restart := range 2 {
			stop = w.worker()
			w.into(1, fmt.Sprintf("other%d-", restart), 5)
			pass(time.Minute)
			if n := told(logs, "offset_out_of_range", 0); n <= restart {
				t.Errorf("start %d: the log said so %d times", restart+1, n)
			}
			stop()
		}
		if at := w.committedAt(0); at != 10 {
			t.Errorf("%d records were skipped in silence", at-10)
		}
		if n := w.delivered(); n != 20 {
			t.Errorf("%d were delivered, want the 10 before and the 10 of the other partition", n)
		}
	})
}

// TestI13ATruncatedLogStopsItsPartition: after an unclean election the new
// leader has less than was read, and then other records at the same offsets.
func TestI13ATruncatedLogStopsItsPartition(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, delivers, func(w *world) {
		logs := w.listen()
		stop := w.worker()
		defer stop()
		w.into(0, "old", 10)
		w.into(1, "other", 1)
		pass(5 * time.Second)
		w.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			req, _ := kreq.(*kmsg.OffsetForLeaderEpochRequest)
			resp, _ := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
			for _, topic := range req.Topics {
				st := kmsg.NewOffsetForLeaderEpochResponseTopic()
				st.Topic = topic.Topic
				for _, p := range topic.Partitions {
					sp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
					info := w.cluster.PartitionInfo(topic.Topic, p.Partition)
					sp.Partition, sp.LeaderEpoch, sp.EndOffset = p.Partition, p.LeaderEpoch, info.HighWatermark
					if topic.Topic == source && p.Partition == 0 {
						sp.EndOffset = 6
					}
					st.Partitions = append(st.Partitions, sp)
				}
				resp.Topics = append(resp.Topics, st)
			}
			return resp, nil, true
		})
		w.cluster.ShufflePartitionLeaders()
		w.into(0, "new", 5)
		w.into(1, "later", 5)
		pass(2 * time.Minute)
		if n := told(logs, "truncated", 0); n == 0 {
			t.Errorf("nobody was told; the log has %v", logs.All())
		}
		if at := w.committedAt(0); at != 10 {
			t.Errorf("the place moved to %d", at)
		}
		if !w.isDelivered("later4") {
			t.Error("the other partition stands still, too")
		}
	})
}
