package processing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

// defaultMaxMessage is Kafka's max.message.bytes where nobody set it.
const defaultMaxMessage = 1048588

// limits are the largest batches that the output and the dead-letter topic take.
type limits struct{ out, dead atomic.Int32 }

// session is one client with what it has read and not yet committed.
type session struct {
	*kgo.GroupTransactSession
	// moved is set when partitions were taken away: what is held of them is
	// somebody else's now, or is read again.
	moved  atomic.Bool
	lanes  lanes
	faults faults
}

// open makes a client, ends the transaction that a predecessor of our name
// left open (its pending offsets would keep us from reading for 10 s) and
// learns how large a record may be.
func (r *Runtime) open(ctx context.Context) (*session, error) {
	s := &session{lanes: newLanes(), faults: newFaults(r.log)}
	inner, err := kgo.NewGroupTransactSession(r.options(s)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	s.GroupTransactSession = inner
	if _, _, err := inner.Client().ProducerID(ctx); err != nil {
		inner.Close()
		return nil, fmt.Errorf("transactional id: %w", err)
	}
	r.learnLimits(ctx, kadm.NewClient(inner.Client()))
	return s, nil
}

// options are those of the client; s is nil where they are only validated.
func (r *Runtime) options(s *session) []kgo.Opt {
	opts := append([]kgo.Opt{}, r.deps.Kafka...)
	opts = append(opts, kafka.Member(topics.Group(r.cfg.Name), r.cfg.Instance, kgo.RangeBalancer())...)
	return append(opts,
		kgo.ConsumeTopics(r.cfg.In, topics.Redrive(r.cfg.Name)),
		kgo.TransactionalID("holdfast."+r.cfg.Name+"."+r.member),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordPartitioner(partitioner{}),
		kgo.ProducerLinger(0),
		kafka.Measured(r.deps.Metrics.reg, topics.Group(r.cfg.Name)),
		kgo.DisableFetchSessions(), // to end one, closing would wait 20 s for a broker that is silent
		kgo.ProducerBatchMaxBytesFn(r.batchLimit),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			r.once.Do(func() { close(r.ready) })
		}),
		// Stands for lost partitions too.
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) {
			if s != nil {
				s.moved.Store(true)
			}
		}),
	)
}

// batchLimit is for the client, which counts bytes before compression.
func (r *Runtime) batchLimit(topic string) int32 {
	if topic == topics.DeadLetters(r.cfg.Name) {
		return maxLetter
	}
	if n := r.limits.out.Load(); n > 0 {
		return n
	}
	return defaultMaxMessage
}

// learnLimits asks the broker; where it may not tell, Kafka's defaults hold.
func (r *Runtime) learnLimits(ctx context.Context, admin *kadm.Client) {
	for topic, limit := range map[string]*atomic.Int32{r.cfg.Out: &r.limits.out, topics.DeadLetters(r.cfg.Name): &r.limits.dead} {
		described, err := admin.DescribeTopicConfigs(ctx, topic)
		if err != nil || len(described) != 1 || described[0].Err != nil {
			continue
		}
		for _, entry := range described[0].Configs {
			n, err := strconv.ParseInt(entry.MaybeValue(), 10, 32)
			if entry.Key == "max.message.bytes" && err == nil && n > 0 {
				limit.Store(int32(min(max(n, 512), 1<<30)))
			}
		}
	}
}

// fenced reports whether another client took our name.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.FencedInstanceID) || errors.Is(err, kerr.InvalidProducerEpoch)
}

// partitioner keeps the partition number of dead letters and places outputs by
// key, as every other Kafka client does (murmur2). An input that has grown has
// more partitions than its dead letters until topic apply was run; the numbers
// beyond wrap, since a letter that has nowhere to go would stop its partition.
type partitioner struct{}

// ForTopic is for kgo.
func (partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if strings.HasPrefix(topic, topics.DeadLetters("")) {
		return kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, n int) int { return int(r.Partition) % n }
		}).ForTopic(topic)
	}
	return kgo.StickyKeyPartitioner(nil).ForTopic(topic)
}
