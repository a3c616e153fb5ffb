// Package growth remembers where a sink's source stood when it got more
// partitions, so that the order of keys is kept across it: a key may belong to
// a new partition afterwards, and what was written of it before has to be
// settled first.
//
// The memory is the committed offsets of a consumer group of its own, which
// nobody is a member of, so that every worker finds it, after a restart too.
// The owner of partition 0 writes it; `topic apply` does where no worker runs.
package growth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

// Stage is how far a sink has come with a growth.
type Stage string

// The stages, in their order.
const (
	// Stopped: nothing beyond the cut is delivered until all before it is
	// settled and the sink's other topics have grown.
	Stopped Stage = "stopped"
	// Learning: the old partitions go on, the new ones wait until producers
	// have heard of them.
	Learning Stage = "learning"
	// Crossing: the old partitions go on to a second cut, taken after that. All
	// before it is settled, and then nothing waits any more.
	Crossing Stage = "crossing"
)

// Cut is where a source stood.
type Cut struct {
	From  int32     `json:"from"` // partitions before
	To    int32     `json:"to"`   // and after
	Stage Stage     `json:"stage"`
	Grown time.Time `json:"grown"` // when the growth was noticed
	Ends  []int64   `json:"-"`     // by partition, of those before
}

// Group names the consumer group that remembers the cut of a sink.
func Group(sink string) string { return topics.Group(sink) + ".growth" }

// Take looks where the first from partitions of a source end now, as
// read-committed readers see it.
func Take(ctx context.Context, admin *kadm.Client, source string, from, to int32, stage Stage, grown time.Time) (*Cut, error) {
	listed, err := admin.ListCommittedOffsets(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("ends of %s: %w", source, err)
	}
	c := &Cut{From: from, To: to, Stage: stage, Grown: grown, Ends: make([]int64, from)}
	for num := range from {
		end, ok := listed.Lookup(source, num)
		if !ok {
			return nil, fmt.Errorf("end of %s-%d: %w", source, num, kerr.UnknownTopicOrPartition)
		}
		if end.Err != nil {
			return nil, fmt.Errorf("end of %s-%d: %w", source, num, end.Err)
		}
		c.Ends[num] = end.Offset
	}
	return c, nil
}

// Read returns the cut of a sink's source, nil where there is none.
func Read(ctx context.Context, client *kgo.Client, sink, source string) (*Cut, error) {
	offsets, err := kafka.CommittedOffsets(ctx, client, Group(sink))
	if err != nil {
		return nil, fmt.Errorf("growth of %s: %w", source, err)
	}
	first, ok := offsets.Lookup(source, 0)
	if !ok || first.At < 0 {
		return nil, nil //nolint:nilnil // no cut is no error
	}
	c := &Cut{}
	if err := json.Unmarshal([]byte(first.Metadata), c); err != nil {
		return nil, fmt.Errorf("growth of %s: group %s: %w", source, Group(sink), err)
	}
	c.Ends = make([]int64, c.From)
	for num := range c.From {
		o, ok := offsets.Lookup(source, num)
		if !ok {
			return nil, fmt.Errorf("growth of %s: group %s: %w %d", source, Group(sink), errIncomplete, num)
		}
		c.Ends[num] = o.At
	}
	return c, nil
}

var errIncomplete = errors.New("no offset of partition")

// Write remembers a cut in place of the one before.
func Write(ctx context.Context, admin *kadm.Client, sink, source string, c *Cut) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var offsets kadm.Offsets
	for num, end := range c.Ends {
		offsets.Add(kadm.Offset{Topic: source, Partition: int32(num), At: end, LeaderEpoch: -1, Metadata: string(text)})
	}
	if err := admin.CommitAllOffsets(ctx, Group(sink), offsets); err != nil {
		return fmt.Errorf("growth of %s: %w", source, err)
	}
	return nil
}

// Forget ends a growth.
func Forget(ctx context.Context, admin *kadm.Client, sink string) error {
	response, err := admin.DeleteGroup(ctx, Group(sink))
	if err == nil {
		err = response.Err
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("forget growth: group %s: %w", Group(sink), err)
	}
	return nil
}

// Mark takes and writes the cut of a source that has grown and whose followers
// have not, unless there is one. It is called before they grow.
func Mark(ctx context.Context, client *kgo.Client, sink, source string) error {
	admin, follower := kadm.NewClient(client), topics.Redrive(sink)
	have, err := admin.ListTopics(ctx, source, follower)
	if err != nil {
		return fmt.Errorf("growth of %s: %w", source, err)
	}
	from, to := len(have[follower].Partitions), len(have[source].Partitions)
	if from == 0 || from >= to {
		return nil
	}
	if c, err := Read(ctx, client, sink, source); err != nil || c != nil {
		return err
	}
	c, err := Take(ctx, admin, source, int32(from), int32(to), Stopped, time.Now()) //nolint:gosec // Kafka counts partitions in 32 bits
	if err != nil {
		return err
	}
	return Write(ctx, admin, sink, source, c)
}
