package delivery

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

func (w *Worker) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	w.rival.gone()
	member, epoch := client.GroupMetadata()
	w.member.Store(&member)
	w.sched.fence.assigned()
	for topic, nums := range added {
		for _, num := range nums {
			w.sched.assign(w.life, topic, num, epoch) //nolint:contextcheck // a shard lives as long as the worker
		}
		// A partition that comes back may still be paused from its last stay.
		client.ResumeFetchPartitions(map[string][]int32{topic: nums})
	}
	w.growing.meet(added[w.cfg.Source], w.sched)
	poke(w.measure)
	if len(added) == 0 {
		w.once.Do(func() { close(w.ready) })
	}
}

// offsetsFetched tells the scheduler what was committed, before the first
// record is read.
func (w *Worker) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	each := func(topic string, num int32, offset int64, metadata *string) {
		text := ""
		if metadata != nil {
			text = *metadata
		}
		if err := w.sched.committed(topic, num, offset, text); err != nil {
			w.log.Warn("commit metadata is not readable; what was finished beyond the offset may be sent again",
				zap.String("topic", topic), zap.Int32("partition", num), zap.Error(err))
		}
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				each(t.Topic, p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	if len(resp.Groups) == 0 {
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				each(t.Topic, p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	return nil
}

// measureLoop asks where the tiers end that were assigned: what lies before has
// to be known before anything is sent.
func (w *Worker) measureLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.measure:
		}
		for ctx.Err() == nil {
			if w.measureEnds(ctx) {
				break
			}
			_ = sleep(ctx, 200*time.Millisecond)
		}
	}
}

// measureEnds reports whether all ends are known.
func (w *Worker) measureEnds(ctx context.Context) bool {
	if w.sched.partial() {
		// A broker gives a static member that comes back with more topics its
		// old share, without them: ask for a new one.
		w.log.Warn("assigned some topics of a partition number and not all; asking for a new assignment")
		w.client.ForceRebalance()
		_ = sleep(ctx, time.Second)
	}
	missing := w.sched.unmeasured()
	if len(missing) > 0 {
		ctx, cancel := context.WithTimeout(ctx, measureTimeout)
		defer cancel()
		names := make([]string, 0, len(missing))
		for topic := range missing {
			names = append(names, topic)
		}
		starts, err := w.admin.ListStartOffsets(ctx, names...)
		if err == nil {
			var ends kadm.ListedOffsets
			if ends, err = w.admin.ListCommittedOffsets(ctx, names...); err == nil {
				w.tellEnds(missing, starts, ends)
			}
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("the ends of the tiers are not known yet; nothing is sent before they are", zap.Error(err))
		}
		if len(w.sched.unmeasured()) > 0 {
			return false
		}
	}
	w.awaitPlace(ctx) // not within once: an assignment would wait for it, and it for a commit that waits for the assignment
	w.once.Do(func() { close(w.ready) })
	return true
}

func (w *Worker) tellEnds(missing map[string][]int32, starts, ends kadm.ListedOffsets) {
	for topic, nums := range missing {
		w.partitions.Store(int64(len(ends[topic])))
		for _, num := range nums {
			start, known := starts.Lookup(topic, num)
			end, ok := ends.Lookup(topic, num)
			switch {
			case !ok || !known || end.Err != nil || start.Err != nil:
			case start.Offset >= end.Offset:
				w.sched.ended(topic, num, 0)
			default:
				w.sched.ended(topic, num, end.Offset)
			}
		}
	}
}

// revoked waits for what is in flight, commits what was settled and lets go.
func (w *Worker) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	wait, cancel := context.WithTimeout(ctx, min(w.cfg.Timeout, revokeWait))
	defer cancel()
	last := w.sched.revoke(wait, gone)
	<-w.made
	w.commits <- struct{}{}
	defer func() { <-w.commits }()
	w.commitLast(ctx, revokeCommit, func() commit { return last })
}

// lost is a revoke after the fact: somebody else may own the partitions
// already, so nothing of them is committed.
func (w *Worker) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	if len(gone) == 0 { // told again at each try to join, as long as no broker answers
		return
	}
	w.log.Warn("partitions lost", zap.Any("partitions", gone))
	now, cancel := context.WithCancel(context.Background())
	cancel()
	w.sched.revoke(now, gone) //nolint:contextcheck // over from the start: nothing is waited for
}
