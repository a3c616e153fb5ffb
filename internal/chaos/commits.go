package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitLog is where the brokers keep the offsets of groups: every commit that
// they took, also of a worker that should have known better.
const commitLog = "__consumer_offsets"

var errUnread = errors.New("the log of commits was not read to its end within 30 s")

// backwards counts the commits that moved an offset of the group back. No owner
// of a partition makes one; a former owner that was not fenced does.
func (p *producer) backwards(ctx context.Context, group string) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errUnread)
	defer cancel()
	ends, err := kadm.NewClient(p.client).ListEndOffsets(ctx, commitLog)
	if err != nil {
		return 0, fmt.Errorf("ends of %s: %w", commitLog, err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	client, err := kgo.NewClient(append(p.opts, kgo.ConsumeTopics(commitLog), kgo.KeepControlRecords())...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	seen := newOffsetsSeen(group)
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return 0, fmt.Errorf("read %s: %w", commitLog, context.Cause(ctx))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen.commit(r.Key, r.Value)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return seen.backwards, nil
}

// offsetsSeen follows the commits of one group.
type offsetsSeen struct {
	group     string
	last      map[kmsg.OffsetCommitKey]int64
	backwards int
}

func newOffsetsSeen(group string) *offsetsSeen {
	return &offsetsSeen{group: group, last: map[kmsg.OffsetCommitKey]int64{}}
}

// offsetKey is the latest version of a key that names an offset; later ones
// name members of groups.
const offsetKey = 1

// commit looks at one record of the log.
func (s *offsetsSeen) commit(key, value []byte) {
	var k kmsg.OffsetCommitKey
	if k.ReadFrom(key) != nil || k.Version > offsetKey || k.Group != s.group {
		return
	}
	var v kmsg.OffsetCommitValue
	if v.ReadFrom(value) != nil {
		return // the offset was deleted
	}
	if before, known := s.last[k]; known && v.Offset < before {
		s.backwards++
	}
	s.last[k] = v.Offset
}
