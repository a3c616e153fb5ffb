package processing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/internal/topics"
)

// errDoubt: a transaction failed after an earlier one had left records of this
// session in memory; only a new session knows what is committed.
var errDoubt = errors.New("transaction failed")

// work runs one session until it fails or ctx ends.
func (r *Runtime) work(ctx context.Context) error {
	s, err := r.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer s.Close()
	r.standing.begin(s.Client())
	defer r.standing.begin(nil)
	defer s.lanes.running.Wait()
	defer cancel()
	for {
		fetches := s.poll(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return ctx.Err()
		}
		if err := s.look(fetches); err != nil {
			return err
		}
		if s.moved.Swap(false) {
			r.standing.clear()
			if err := s.startOver(ctx, fetches); err != nil {
				return err
			}
			continue
		}
		s.rested()
		fetches.EachPartition(func(p kgo.FetchTopicPartition) { r.start(ctx, s, p) })
		if !s.settle(ctx) {
			return ctx.Err()
		}
		if err := r.transact(ctx, s); err != nil {
			return err
		}
		if r.stuck.many() {
			return ErrStuck
		}
	}
}

// poll returns what was fetched, or nothing as soon as a lane has something or
// a partition has rested.
func (s *session) poll(ctx context.Context) kgo.Fetches {
	if until, ok := s.faults.next(); ok {
		due, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		ctx = due
	}
	if len(s.lanes.all) == 0 {
		return s.PollRecords(ctx, pollRecords)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.lanes.progress:
			cancel()
		case <-ctx.Done():
		}
	}()
	fetches := s.PollRecords(ctx, pollRecords)
	cancel()
	<-done
	return fetches
}

// start gives the records of a partition a lane.
func (r *Runtime) start(ctx context.Context, s *session, p kgo.FetchTopicPartition) {
	if len(p.Records) == 0 {
		return
	}
	r.deps.Metrics.counters.Consumed.WithLabelValues(p.Topic).Add(float64(len(p.Records)))
	ctx, cancel := context.WithCancel(ctx)
	_, epoch := s.Client().GroupMetadata()
	l := &lane{partition: partition{p.Topic, p.Partition}, records: p.Records, cancel: cancel}
	s.lanes.all[l.partition] = l
	r.standing.note(l)
	s.lanes.running.Go(func() {
		defer s.lanes.nudge()
		nudged := time.Now()
		for _, in := range l.records {
			res, ok := r.handle(ctx, in, epoch, func() { l.wait(); s.lanes.nudge() })
			if !ok {
				return
			}
			res.redriven = in.Topic == topics.Redrive(r.cfg.Name)
			l.finish(res)
			if time.Since(nudged) > gather { // slow; what is ready need not wait for the rest
				nudged = time.Now()
				s.lanes.nudge()
			}
		}
	})
}

// settle waits for lanes that will soon be ready. False: ctx ended.
func (s *session) settle(ctx context.Context) bool {
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for s.lanes.busy() {
		select {
		case <-s.lanes.progress:
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// batch is what one transaction writes.
type batch struct {
	results []result
	offsets map[partition]kgo.EpochOffset
}

func (s *session) take() batch {
	b := batch{offsets: map[partition]kgo.EpochOffset{}}
	for p, l := range s.lanes.all {
		if results, next := l.take(); len(results) > 0 {
			b.results = append(b.results, results...)
			b.offsets[p] = next
		}
	}
	return b
}

// transact writes what the lanes have ready, and the offsets behind it.
func (r *Runtime) transact(ctx context.Context, s *session) error {
	b := s.take()
	if len(b.results) == 0 {
		s.hold()
		return nil
	}
	if err := s.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	ctx, cancel := lasting(ctx, endGrace)
	defer cancel()
	first := kgo.AbortingFirstErrPromise(s.Client())
	held := 0
	for _, res := range b.results {
		for _, out := range res.outputs {
			promise := first.Promise()
			if r.isLetter(out) {
				held = r.apart(ctx, s.Client(), held, out)
				promise = r.oversize.watch(out, promise)
			}
			s.Produce(ctx, out, promise)
		}
	}
	failed, err := written(ctx, first)
	if err != nil {
		return fmt.Errorf("%w: %w", errDoubt, err)
	}
	committed, err := s.End(kgo.PreTxnCommitFnContext(ctx, b.commitOnly), kgo.TransactionEndTry(failed == nil))
	switch {
	case err != nil:
		return fmt.Errorf("end transaction: %w", errors.Join(err, failed))
	case !committed && failed != nil:
		return fmt.Errorf("%w: %w", errDoubt, failed)
	case !committed && !s.moved.Swap(false) && s.lanes.acked():
		return errDoubt // the client would not read again what it believes done
	case !committed: // its input is read again, by whoever has the partitions now
		begun := s.lanes.begun()
		r.standing.clear()
		s.forget()
		return s.rewound(begun)
	}
	for _, res := range b.results {
		r.metrics.count(res)
	}
	for p := range b.offsets {
		r.standing.note(s.lanes.all[p])
	}
	s.advance()
	return nil
}

// written waits for the records of a transaction and returns the first that
// failed; err where ctx ended before. A write that is in flight to a broker
// that has gone does not end with its context, but only when the client closes.
func written(ctx context.Context, first *kgo.FirstErrPromise) (failed, err error) {
	done := make(chan error, 1)
	go func() { done <- first.Err() }()
	select {
	case failed = <-done:
		return failed, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// commitOnly makes the request commit what this transaction holds, and not all
// that was polled: the rest is still in its lanes.
func (b batch) commitOnly(req *kmsg.TxnOffsetCommitRequest) error {
	byTopic := map[string][]kmsg.TxnOffsetCommitRequestTopicPartition{}
	for p, next := range b.offsets {
		part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.LeaderEpoch = p.number, next.Offset, next.Epoch
		part.Metadata = &req.MemberID
		byTopic[p.topic] = append(byTopic[p.topic], part)
	}
	req.Topics = req.Topics[:0]
	for name, parts := range byTopic {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic, t.Partitions = name, parts
		req.Topics = append(req.Topics, t) // the client adds the topic's id
	}
	return nil
}

// advance ends the lanes that are done, lets their partitions be fetched
// again, and holds the others.
func (s *session) advance() {
	resume := map[string][]int32{}
	for p, l := range s.lanes.all {
		l.acked = true
		if !l.done() {
			continue
		}
		l.cancel()
		delete(s.lanes.all, p)
		if l.paused {
			resume[p.topic] = append(resume[p.topic], p.number)
		}
	}
	s.resume(resume)
	s.hold()
}

// hold keeps the partitions of unfinished lanes from being fetched.
func (s *session) hold() {
	pause := map[string][]int32{}
	for p, l := range s.lanes.all {
		if !l.paused {
			l.paused = true
			pause[p.topic] = append(pause[p.topic], p.number)
		}
	}
	if len(pause) > 0 {
		s.Client().PauseFetchPartitions(pause)
	}
}

func (s *session) resume(partitions map[string][]int32) {
	if len(partitions) > 0 {
		s.Client().ResumeFetchPartitions(partitions)
	}
}

// forget drops what is held in memory; the client reads it again.
func (s *session) forget() {
	s.resume(s.lanes.drop())
	s.resume(s.faults.drop())
}

// startOver follows a rebalance: what is held may be somebody else's now, and
// what was just polled is read again from the committed offsets. Ending a
// transaction that was never begun clears the session's own mark of the
// rebalance, which would abort the next one.
func (s *session) startOver(ctx context.Context, polled kgo.Fetches) error {
	s.forget()
	if _, err := s.End(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("after a rebalance: %w", err)
	}
	begun := map[partition]int64{}
	polled.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			begun[partition{p.Topic, p.Partition}] = p.Records[0].Offset
		}
	})
	return s.rewound(begun)
}

// rewound reports, after an abort, whether the client reads the records again
// that began at these offsets. A partition that nobody has committed yet it
// takes back to 0, which is out of range once the topic has lost its beginning
// to retention; a new session finds where it begins.
func (s *session) rewound(begun map[partition]int64) error {
	committed := s.Client().CommittedOffsets()
	for p, first := range begun {
		if at, assigned := committed[p.topic][p.number]; assigned && at.Offset <= 0 && first > 0 {
			return fmt.Errorf("%w before anything was committed", errDoubt)
		}
	}
	return nil
}
