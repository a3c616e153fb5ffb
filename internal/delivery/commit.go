package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// Commits are cheap and frequent, because what was settled since the last one
// is sent again after a kill.
const (
	commitEvery   = 75 * time.Millisecond
	commitTimeout = 2 * time.Second
)

// mark is where one partition is to be committed.
type mark struct {
	offset   int64
	metadata string
}

// commit is what to commit, by topic and partition. One request carries all of
// it, so that a tier is never committed before the move that filled it.
type commit map[string]map[int32]mark

func (c commit) add(sh *shard) {
	for _, p := range sh.parts {
		if p == nil || p.finished == nil {
			continue
		}
		offset, metadata, changed := p.finished.Commit()
		if !changed || offset < 0 {
			continue
		}
		if c[p.topic] == nil {
			c[p.topic] = make(map[int32]mark)
		}
		c[p.topic][sh.num] = mark{offset, metadata}
	}
}

// toCommit returns what changed since the last call.
func (s *scheduler) toCommit() commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := commit{}
	for _, sh := range s.shards {
		if !sh.gone {
			c.add(sh)
		}
	}
	return c
}

// uncommitted notes that a commit failed, so that the next one repeats it.
func (s *scheduler) uncommitted(c commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, parts := range c {
		for num := range parts {
			if sh := s.shards[num]; sh != nil && !sh.gone {
				if p := sh.parts[s.layout.slots[topic]]; p != nil && p.finished != nil {
					p.finished.Dirty()
				}
			}
		}
	}
}

func (w *Worker) commitLoop(ctx context.Context) {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.commit(ctx, commitTimeout)
			w.spill(ctx)
		}
	}
}

func (w *Worker) commit(ctx context.Context, timeout time.Duration) {
	w.commits <- struct{}{}
	defer func() { <-w.commits }()
	_ = w.commitNow(ctx, timeout, w.sched.toCommit()) // logged, and the next one covers it
}

// lastPause is between the tries of a last commit.
const lastPause = 50 * time.Millisecond

// commitLast commits what nobody will cover later, so it is tried again while
// the group lets us: what it misses is sent again by the next owner.
func (w *Worker) commitLast(ctx context.Context, timeout time.Duration, c commit) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := w.commitNow(ctx, commitTimeout, c)
		passes := kerr.IsRetriable(err) || errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.StaleMemberEpoch)
		if err == nil || !passes || sleep(ctx, lastPause) != nil {
			return
		}
	}
}

// commitNow commits. An error is logged and counted, never fatal: the next
// commit of the partition covers it.
func (w *Worker) commitNow(ctx context.Context, timeout time.Duration, c commit) error {
	if len(c) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	heads := make(map[string]map[int32]kgo.EpochOffset, len(c))
	for topic, parts := range c {
		heads[topic] = make(map[int32]kgo.EpochOffset, len(parts))
		for num, m := range parts {
			heads[topic][num] = kgo.EpochOffset{Epoch: -1, Offset: m.offset}
		}
	}
	withMetadata := kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				p := &req.Topics[i].Partitions[j]
				p.Metadata = new(c[req.Topics[i].Topic][p.Partition].metadata)
			}
		}
		return nil
	})
	var failed error
	w.client.CommitOffsetsSync(withMetadata, heads, commitCallback(&failed))
	if failed == nil {
		w.sched.placed(c)
		return nil
	}
	w.sched.uncommitted(c)
	w.meters.commitErrors.Inc()
	if ctx.Err() == nil || !errors.Is(failed, context.Canceled) {
		w.log.Warn("commit refused; the next one covers it", zap.Error(failed))
	}
	return failed
}

// commitCallback keeps the first thing that went wrong with a commit, whether
// as a whole or for one partition.
func commitCallback(failed *error) func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	return func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			*failed = err
			return
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					*failed = err
					return
				}
			}
		}
	}
}
