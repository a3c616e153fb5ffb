package delivery

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/record"
)

// fetchMaxWait is how long a broker may sit on a request for records. While it
// does, partitions that are resumed or assigned meanwhile wait too.
const fetchMaxWait = 100 * time.Millisecond

// Bounds on what a broker answers at once, as it is compressed: several times
// as much lies in memory.
const (
	fetchBytes          = 1 << 20
	fetchPartitionBytes = 256 << 10
)

// poll reads until ctx ends. The error is [ErrFenced].
func (w *Worker) poll(ctx context.Context) error {
	complaints := newComplaints(w.log)
	var fenced error
	for {
		w.awaitRoom(ctx)
		fetches := w.pollOnce(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			w.client.AllowRebalance()
			return nil //nolint:nilerr // it was told to stop
		}
		fetches.EachError(func(topic string, num int32, err error) {
			if errors.Is(err, context.DeadlineExceeded) || w.poison(ctx, topic, num, err) {
				return
			}
			fenced = cmp.Or(fenced, w.rival.met(time.Now(), w.cfg.Instance, err))
			w.atGap(topic, num, err)
			complaints.fetch(topic, num, err)
		})
		fetches.EachPartition(w.admitUnless(w.pass()))
		w.client.AllowRebalance()
		if fenced != nil {
			return fenced
		}
	}
}

// pollOnce waits for records; at a barrier not for long, since nothing may come
// until it falls.
func (w *Worker) pollOnce(ctx context.Context) kgo.Fetches {
	if w.sched.barred() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, barredPoll)
		defer cancel()
	}
	return w.client.PollRecords(ctx, pollRecords)
}

// admitUnless is admit, but for partitions of the source that are read again
// from an earlier offset.
func (w *Worker) admitUnless(again map[int32]int64) func(kgo.FetchTopicPartition) {
	return func(p kgo.FetchTopicPartition) {
		if _, stale := again[p.Partition]; !stale || p.Topic != w.cfg.Source {
			w.admit(p)
		}
	}
}

// admit hands the records of one partition to the scheduler.
func (w *Worker) admit(fetched kgo.FetchTopicPartition) {
	if len(fetched.Records) == 0 {
		return
	}
	read := w.arrivalOf
	if !w.sched.mayHold(fetched.Topic) {
		read = w.outlineOf
	}
	arrivals := make([]arrival, len(fetched.Records))
	records := 0 // without the markers of transactions
	for i, r := range fetched.Records {
		if arrivals[i] = read(r); arrivals[i].env != nil {
			records++
		}
	}
	w.meters.counters.Consumed.WithLabelValues(fetched.Topic).Add(float64(records))
	if w.sched.admit(fetched.Topic, fetched.Partition, arrivals) {
		w.client.PauseFetchPartitions(map[string][]int32{fetched.Topic: {fetched.Partition}})
	}
}

// arrivalOf reads the envelope of a record.
func (w *Worker) arrivalOf(r *kgo.Record) arrival {
	if r.Attrs.IsControl() {
		return arrival{offset: r.Offset}
	}
	trust := record.FromHoldfast
	if r.Topic == w.cfg.Source {
		trust = record.FromProducer
	}
	env := record.Read(r, trust)
	return arrival{offset: r.Offset, env: env, due: w.due(r.Topic, env), tenant: w.tenantOf(env)}
}

// outlineOf reads what the index has to know of a record that lies in a tier
// and will be read again.
func (w *Worker) outlineOf(r *kgo.Record) arrival {
	if r.Attrs.IsControl() {
		return arrival{offset: r.Offset}
	}
	env := record.Outline(r)
	return arrival{offset: r.Offset, env: env, outline: true, due: w.due(r.Topic, env)}
}

// due is when a record of a tier may be sent. A clock that jumped shifts it by
// the tier's delay or limits.max_hold at most, whichever is longer.
func (w *Worker) due(topic string, env *record.Envelope) time.Time {
	tier := w.sched.layout.tier(w.sched.layout.slots[topic])
	if tier < 0 || env.Due.IsZero() {
		return time.Time{}
	}
	now := time.Now()
	wait := min(env.Due.Sub(now), max(w.cfg.Tiers[tier], w.cfg.MaxHold))
	return now.Add(max(wait, 0))
}
