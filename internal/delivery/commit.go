package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"holdfast.internal/internal/topics"
)

// Commits are cheap and frequent, because what was settled since the last one
// is sent again after a kill.
const (
	commitEvery   = 75 * time.Millisecond
	commitTimeout = 2 * time.Second
	// refusedAgain is how often the log says that commits are refused.
	refusedAgain = time.Minute
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
	_ = w.commitNow(ctx, timeout, w.sched.toCommit) // logged, and the next one covers it
}

// lastPause is between the tries of a last commit.
const lastPause = 50 * time.Millisecond

// commitLast commits what nobody will cover later, so it is tried again while
// the group lets us: what it misses is sent again by the next owner.
func (w *Worker) commitLast(ctx context.Context, timeout time.Duration, what func() commit) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := w.commitNow(ctx, commitTimeout, what)
		passes := kerr.IsRetriable(err) && !errors.Is(err, kerr.UnknownTopicID) || regrouping(err)
		if err == nil || !passes || sleep(ctx, lastPause) != nil {
			return
		}
	}
}

// regrouping reports whether a commit is refused because the group is between
// two assignments: the member knows the next one in a moment.
func regrouping(err error) bool {
	return errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.StaleMemberEpoch)
}

// commitNow commits what is asked for. Errors are counted, and logged once a
// minute but for those that a rebalance explains; none is fatal, as the next
// commit of the partition covers it.
//
// The request is its own, for the client's commits wait while the group joins:
// for a second as a rule, for a session where a member is frozen, and all that
// is settled meanwhile would be sent again after a kill. The brokers take a
// member's commits until all have joined. The generation is read before what is
// to be committed: if a shard is lost in between, the brokers refuse the old one.
// Who has become somebody else in the group commits nothing, and sends nothing:
// all that it has is lost. See docs/decisions/0013-membership-past-the-client.md.
func (w *Worker) commitNow(ctx context.Context, timeout time.Duration, what func() commit) error {
	member, generation := w.client.GroupMetadata()
	switch as := w.member.Load(); {
	case as == nil:
		return nil
	case *as != member:
		w.sched.fence.end()
		return nil
	}
	c := what()
	if len(c) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = topics.Group(w.cfg.Sink), member, generation
	if w.cfg.Instance != "" {
		req.InstanceID = &w.cfg.Instance
	}
	for topic, parts := range c {
		id, there := w.growing.id(topic)
		if !there {
			continue
		}
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, id
		for num, m := range parts {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.Metadata = num, m.offset, &m.metadata
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	if len(req.Topics) == 0 {
		return nil
	}
	resp, err := req.RequestWith(ctx, w.client)
	if err == nil {
		err = firstError(resp)
	}
	if err == nil {
		w.sched.placed(c)
		return nil
	}
	w.sched.uncommitted(c)
	w.meters.commitErrors.Inc()
	if given := errors.Is(err, kerr.FencedInstanceID) || errors.Is(err, kerr.UnknownMemberID); given && *w.member.Load() == member {
		w.sched.fence.end() // the client learns it from its next heartbeat, up to a second later
	}
	if regrouping(err) || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return err
	}
	if time.Since(w.refused) >= refusedAgain {
		w.refused = time.Now()
		w.log.Warn("commit refused; the next one covers it", zap.Error(err))
	}
	return err
}

// firstError is the first thing that a broker refused of a commit.
func firstError(resp *kmsg.OffsetCommitResponse) error {
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}
