package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"holdfast.internal"
)

// Bounds of one request for records that wait in a tier.
const (
	refetchBytes   = 1 << 20
	refetchTimeout = 10 * time.Second
	// refetchRest is how long a partition is left alone that could not be read.
	refetchRest = time.Second
)

// rereader reads what may be sent and is not in memory. A sequential consumer
// cannot: what is due next may lie anywhere in a tier. Each broker has one
// request at a time, so that one which does not answer delays what others have
// by nothing.
type rereader struct {
	*Worker
	complaints *complaints
	busy       map[int32]bool                     // brokers that are asked
	resting    map[holdfast.Coordinates]time.Time // partitions, until when
	read       chan reread
}

// reread is what came of asking one broker.
type reread struct {
	leader int32
	failed map[holdfast.Coordinates]error // by partition
}

// rereading is what is asked of one broker: wishes by partition.
type rereading map[holdfast.Coordinates][]wish

// refetchLoop reads again, until ctx ends.
func (w *Worker) refetchLoop(ctx context.Context) {
	r := &rereader{
		Worker: w, complaints: newComplaints(w.log), busy: map[int32]bool{}, resting: map[holdfast.Coordinates]time.Time{}, read: make(chan reread),
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	for {
		room := w.sched.roomToFetch()
		byLeader := r.byLeader(room)
		for leader, jobs := range byLeader {
			r.busy[leader] = true
			readers.Go(func() {
				done := reread{leader, w.refetchAll(ctx, jobs)}
				select {
				case r.read <- done:
				case <-ctx.Done():
				}
			})
		}
		pause := refetchWait(room)
		switch {
		case len(byLeader) > 0: // there may be more, of others
			pause = 0
		case len(r.busy)+len(r.resting) > 0: // or of those, once they may be asked
			pause = refetchPause
		}
		select {
		case <-ctx.Done():
			return
		case done := <-r.read:
			r.done(done)
		case <-w.sched.fetch:
		case <-time.After(pause):
		}
	}
}

func refetchWait(room int) time.Duration {
	if room == 0 {
		return refetchPause
	}
	return time.Minute
}

// byLeader takes what is to be read next by the broker that has it, of those
// that are not busy and without partitions that rest.
func (r *rereader) byLeader(room int) map[int32]rereading {
	now := time.Now()
	maps.DeleteFunc(r.resting, func(_ holdfast.Coordinates, until time.Time) bool { return !until.After(now) })
	leaders, mayAsk := map[holdfast.Coordinates]int32{}, map[holdfast.Coordinates]bool{}
	nums := r.sched.numbers()
	for _, topic := range r.sched.layout.names {
		for _, num := range nums {
			at := holdfast.Coordinates{Topic: topic, Partition: num}
			_, rests := r.resting[at]
			leaders[at] = r.leader(topic, num)
			mayAsk[at] = !rests && !r.busy[leaders[at]]
		}
	}
	jobs := map[int32]rereading{}
	for at, list := range r.sched.wishes(room, mayAsk) {
		if jobs[leaders[at]] == nil {
			jobs[leaders[at]] = rereading{}
		}
		jobs[leaders[at]][at] = list
	}
	return jobs
}

// leader is the broker that has a partition, -1 where that is not known.
func (w *Worker) leader(topic string, num int32) int32 {
	leader, _, err := w.client.PartitionLeader(topic, num)
	if err != nil || leader < 0 {
		w.client.ForceMetadataRefresh()
		return -1
	}
	return leader
}

// done notes how a broker has answered.
func (r *rereader) done(what reread) {
	delete(r.busy, what.leader)
	for at, err := range what.failed {
		r.resting[at] = time.Now().Add(refetchRest)
		r.complaints.fetch(at.Topic, at.Partition, err)
	}
}

// refetchAll reads from one broker. It returns the partitions that could not be
// read.
func (w *Worker) refetchAll(ctx context.Context, jobs rereading) map[holdfast.Coordinates]error {
	failed := map[holdfast.Coordinates]error{}
	for at, list := range jobs {
		if err := w.refetch(ctx, at.Topic, at.Partition, list); err != nil {
			failed[at] = err
		}
	}
	return failed
}

// refetch reads some records of one partition, in the order of their offsets.
// Those that it cannot have are asked for again.
func (w *Worker) refetch(ctx context.Context, topic string, num int32, list []wish) error {
	slices.SortFunc(list, byOffset)
	for len(list) > 0 && ctx.Err() == nil {
		got, err := w.fetchAt(ctx, topic, num, list[0].offset)
		if err != nil {
			w.sched.missing(list)
			return err
		}
		list = w.withAlsoDue(list, got)
		left := list[:0:0]
		at := 0
		last := int64(-1)
		if len(got) > 0 {
			last = got[len(got)-1].Offset
		}
		for _, wish := range list {
			for at < len(got) && got[at].Offset < wish.offset {
				at++
			}
			switch {
			case at < len(got) && got[at].Offset == wish.offset:
				a := w.arrivalOf(got[at]) //nolint:contextcheck // a tenant's schema is asked for within the worker's life
				w.sched.fetched(wish, &a)
			case wish.offset > last:
				left = append(left, wish)
			default:
				w.log.Error("a parked record is gone from its topic; was it deleted?", zap.String("topic", topic),
					zap.Int32("partition", num), zap.Int64("offset", wish.offset), zap.String("reason", "offset_out_of_range"))
			}
		}
		if len(left) == len(list) { // no progress: later
			w.sched.missing(left)
			_ = sleep(ctx, refetchPause)
			return nil
		}
		list = left
	}
	return nil
}

// withAlsoDue adds to a list in the order of its offsets what was read beside
// it and may be sent too.
func (w *Worker) withAlsoDue(list []wish, got []*kgo.Record) []wish {
	along := make([]arrival, len(got))
	for i, r := range got {
		along[i] = w.outlineOf(r)
	}
	list = append(list, w.sched.alsoDue(list[0], along)...)
	slices.SortFunc(list, byOffset)
	return slices.CompactFunc(list, func(a, b wish) bool { return a.offset == b.offset })
}

func byOffset(a, b wish) int { return cmp.Compare(a.offset, b.offset) }

// fetchAt reads records from an offset on.
func (w *Worker) fetchAt(ctx context.Context, topic string, num int32, offset int64) ([]*kgo.Record, error) {
	raw, err := w.fetchRaw(ctx, topic, num, offset)
	if raw == nil || err != nil {
		return nil, err
	}
	got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: num,
	}, raw, kgo.DefaultDecompressor(), nil)
	if errors.Is(got.Err, kerr.NotLeaderForPartition) {
		w.client.ForceMetadataRefresh()
	}
	if got.Err != nil {
		return got.Records, fmt.Errorf("fetch %s-%d: %w", topic, num, got.Err)
	}
	return got.Records, nil
}

// fetchRaw reads batches from an offset on, with a request of its own beside
// the group's session.
func (w *Worker) fetchRaw(ctx context.Context, topic string, num int32, offset int64) (*kmsg.FetchResponseTopicPartition, error) {
	ctx, cancel := context.WithTimeout(ctx, refetchTimeout)
	defer cancel()
	leader := w.leader(topic, num)
	if leader < 0 {
		return nil, fmt.Errorf("leader of %s-%d: %w", topic, num, kerr.LeaderNotAvailable)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 1, refetchBytes
	req.IsolationLevel = 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	t.TopicID, _ = w.growing.id(topic)
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = num, offset, refetchBytes
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	kresp, err := w.aside.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("fetch %s-%d: %w", topic, num, err)
	}
	resp := kresp.(*kmsg.FetchResponse) //nolint:forcetypeassert // the request's own response
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, fmt.Errorf("fetch %s-%d: %w", topic, num, err)
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			return &resp.Topics[i].Partitions[j], nil
		}
	}
	return nil, nil //nolint:nilnil // nothing there is no error
}
