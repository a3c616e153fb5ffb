package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// Bounds of one request for records that wait in a tier.
const (
	refetchBytes   = 1 << 20
	refetchBatch   = 512 // records in memory for it at once
	refetchTimeout = 10 * time.Second
)

// wish is one record to be read again: where it lies.
type wish struct {
	want
	offset int64
}

// wishes takes what is to be read next, by topic and partition.
func (s *scheduler) wishes(limit int) map[string]map[int32][]wish {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]map[int32][]wish{}
	n, picked := 0, 0
	for ; n < len(s.refetch) && picked < limit; n++ {
		w := s.refetch[n]
		if w.shard.gone || w.shard.index.at(w.id).state() != wanted {
			continue
		}
		picked++
		e := w.shard.index.at(w.id)
		topic := s.layout.names[e.slot()]
		if out[topic] == nil {
			out[topic] = map[int32][]wish{}
		}
		out[topic][w.shard.num] = append(out[topic][w.shard.num], wish{w, e.offset()})
	}
	s.refetch = s.refetch[:copy(s.refetch, s.refetch[n:])]
	return out
}

// fetched brings a record that was read again to its entry, which may have
// moved on meanwhile.
func (s *scheduler) fetched(w wish, a *arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.shard.gone {
		return
	}
	e := w.shard.index.at(w.id)
	if e.state() != wanted || e.offset() != w.offset {
		return
	}
	a.due = s.timeOf(e.due)
	if e.due == 0 {
		a.due = time.Time{}
	}
	s.keep(w.shard, w.id, a)
	s.consider(w.shard, w.id)
}

// missing notes that a record could not be read; it is asked for again.
func (s *scheduler) missing(w wish) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.shard.gone && w.shard.index.at(w.id).state() == wanted {
		s.refetch = append(s.refetch, w.want)
	}
}

// roomToFetch is how many records are to be asked for at once.
func (s *scheduler) roomToFetch() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(refetchBatch, s.room())
}

// room is how many records may be read again and wait to be sent.
func (s *scheduler) room() int {
	if s.bytes >= 2*maxHeldBytes {
		return 0
	}
	queued := 0
	for _, tn := range s.turns {
		queued += tn.queue.len()
	}
	return max(0, maxHeldRecords+refetchBatch-queued)
}

// alsoDue picks, of the records that a broker sent along with one that was
// asked for, those that may be sent now too: when much of a tier is due at
// once, each of its batches is read only once.
func (s *scheduler) alsoDue(w wish, along []arrival) []wish {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := w.shard
	if sh.gone || !sh.open {
		return nil
	}
	slot, now, room := sh.index.at(w.id).slot(), time.Now(), s.room()
	var found []wish
	for _, a := range along {
		if len(found) >= room {
			break
		}
		if a.env == nil {
			continue
		}
		key, origin := s.keyOf(a.env), s.originOf(a.env)
		i := sh.index.first(key)
		if key == 0 {
			i = sh.index.find(key, origin)
		}
		if i == none {
			continue
		}
		e := sh.index.at(i)
		mayGo := e.state() == wanted || e.state() == stored && e.due != never && !s.timeOf(e.due).After(now)
		if e.origin == origin && e.slot() == slot && e.offset() == a.offset && mayGo {
			e.set(wanted)
			found = append(found, wish{want{sh, i}, a.offset})
		}
	}
	return found
}

// refetchLoop reads what may be sent and is not in memory, until ctx ends. A
// sequential consumer cannot: what is due next may lie anywhere in a tier.
func (w *Worker) refetchLoop(ctx context.Context) {
	for {
		room := w.sched.roomToFetch()
		topics := w.sched.wishes(room)
		if len(topics) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-w.sched.fetch:
			case <-time.After(refetchWait(room)):
			}
			continue
		}
		for topic, parts := range topics {
			for num, list := range parts {
				w.refetch(ctx, topic, num, list)
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func refetchWait(room int) time.Duration {
	if room == 0 {
		return refetchPause
	}
	return time.Minute
}

// refetch reads some records of one partition, in the order of their offsets.
func (w *Worker) refetch(ctx context.Context, topic string, num int32, list []wish) {
	slices.SortFunc(list, byOffset)
	for len(list) > 0 && ctx.Err() == nil {
		got, err := w.fetchAt(ctx, topic, num, list[0].offset)
		if err != nil {
			w.log.Warn("parked records cannot be read", zap.String("topic", topic), zap.Int32("partition", num), zap.Error(err))
			_ = sleep(ctx, time.Second)
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
			for _, wish := range left {
				w.sched.missing(wish)
			}
			_ = sleep(ctx, refetchPause)
			return
		}
		list = left
	}
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

var errNoTopicID = errors.New("the topic's id is not known")

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
	topicID, ok := w.topicID(ctx, topic)
	if !ok {
		return nil, fmt.Errorf("fetch %s: %w", topic, errNoTopicID)
	}
	leader, _, err := w.client.PartitionLeader(topic, num)
	if err != nil || leader < 0 {
		w.client.ForceMetadataRefresh()
		return nil, fmt.Errorf("leader of %s-%d: %w", topic, num, cmp.Or(err, error(kerr.LeaderNotAvailable)))
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 1, refetchBytes
	req.IsolationLevel = 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, topicID
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

// topicID asks for the id of a topic once; newer brokers know it by nothing else.
func (w *Worker) topicID(ctx context.Context, topic string) ([16]byte, bool) {
	w.idsMu.Lock()
	id, ok := w.ids[topic]
	w.idsMu.Unlock()
	if ok {
		return id, true
	}
	found, err := w.admin.ListTopics(ctx, topic)
	if err != nil || found[topic].Err != nil {
		return id, false
	}
	w.idsMu.Lock()
	defer w.idsMu.Unlock()
	w.ids[topic] = found[topic].ID
	return w.ids[topic], true
}

// want is an entry whose record has to be read from its topic.
type want struct {
	shard *shard
	id    id
}
