package dlq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// ErrPartitions reports a redrive topic with fewer partitions than its dead letters.
var ErrPartitions = errors.New("too few partitions; holdfast topic apply adds them")

// Job is one act of a person on dead letters.
type Job struct {
	ID     string
	By     string
	Reason string
}

// Bounds of one transaction, and of what is held in memory for it.
const (
	chunkLetters = 500
	chunkBytes   = 16 << 20
	txnTimeout   = 30 * time.Second
	// endTimeout bounds the end of a transaction whose caller has gone.
	endTimeout = 10 * time.Second
)

// Redrive sends the letters of a plan to the redrive topic of their sink or
// processor and notes it, chunk by chunk, each in one transaction. On an error
// what was sent before it stays sent, and is returned; the same call with a
// new plan sends the rest. Two redrives of one sink at a time do not mix: the
// later one ends the earlier one, and sends nothing that it had sent.
func (b *Box) Redrive(ctx context.Context, plan *Plan, job Job) (*Sent, error) {
	return b.act(ctx, plan, job, Redriven)
}

// Settle notes a state, [Discarded], [Skipped] or [Acknowledged], for the letters of a
// plan and sends none. It returns how many were noted.
func (b *Box) Settle(ctx context.Context, plan *Plan, job Job, state State) (int, error) {
	sent, err := b.act(ctx, plan, job, state)
	if sent == nil {
		return 0, err
	}
	return sent.Count, err
}

func (b *Box) act(ctx context.Context, plan *Plan, job Job, state State) (*Sent, error) {
	if err := validReason(job.Reason); err != nil {
		return nil, err
	}
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	watch, err := b.watch(ctx)
	if err != nil {
		return nil, err
	}
	client, err := b.producer(ctx)
	if err != nil {
		return nil, err
	}
	defer client.CloseAllowingRebalance()
	// Only now nobody else can write: what another job sent since the plan was
	// made is seen, and left out.
	closed, err := b.states(ctx)
	if err != nil {
		return nil, err
	}
	w := writer{box: b, client: client, job: job, state: state, sent: watch, audit: b.audited(ctx), wrote: kadm.Offsets{}}
	for _, p := range slices.Sorted(maps.Keys(plan.letters)) {
		open := slices.DeleteFunc(slices.Clone(plan.letters[p]), func(r ref) bool { return closed.of(p, r.offset).Closed() })
		for chunk := range chunks(open) {
			if err := w.write(ctx, p, chunk); err != nil {
				return watch, err
			}
		}
	}
	return watch, w.visible(ctx)
}

// producer returns a client that holds the transactional id of this target,
// which fences any other job on it and ends what a killed one left open.
func (b *Box) producer(ctx context.Context) (*kgo.Client, error) {
	limit, err := b.messageBytes(ctx)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(slices.Clip(b.Scanner.Connect),
		kgo.TransactionalID("holdfast.redrive."+b.Target.Name),
		kgo.TransactionTimeout(txnTimeout),
		kgo.RecordPartitioner(partitioner{}),
		kgo.ProducerBatchMaxBytes(limit),
		kgo.RecordDeliveryTimeout(txnTimeout),
	)...)
	if err != nil {
		return nil, fmt.Errorf("redrive: %w", err)
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.CloseAllowingRebalance()
		return nil, fmt.Errorf("redrive: start transactions: %w", err)
	}
	return client, nil
}

// messageBytes is how large a record the redrive topic takes; a batch must not be larger.
func (b *Box) messageBytes(ctx context.Context) (int32, error) {
	const fallback = 1_000_012
	configs, err := b.admin().DescribeTopicConfigs(ctx, b.Target.Redrive())
	if err != nil {
		return 0, fmt.Errorf("describe %s: %w", b.Target.Redrive(), err)
	}
	config, err := configs.On(b.Target.Redrive(), nil)
	if err != nil {
		return fallback, nil //nolint:nilerr // nobody may describe it: Kafka's default holds
	}
	for _, c := range config.Configs {
		if c.Key == "max.message.bytes" && c.Value != nil {
			if n, err := strconv.ParseInt(*c.Value, 10, 32); err == nil && n > 0 {
				return int32(n), nil
			}
		}
	}
	return fallback, nil
}

// partitioner lets a redriven record keep its partition number, and spreads
// the internal topics by key.
type partitioner struct{}

func (partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == topics.Dispositions || topic == topics.Audit {
		return disposition.Partitioner().ForTopic(topic)
	}
	return kgo.ManualPartitioner().ForTopic(topic)
}

// chunks cuts letters into what one transaction takes.
func chunks(refs []ref) func(yield func([]ref) bool) {
	return func(yield func([]ref) bool) {
		for start := 0; start < len(refs); {
			end, bytes := start, int64(0)
			for end < len(refs) && end-start < chunkLetters && (end == start || bytes+refs[end].size <= chunkBytes) {
				bytes += refs[end].size
				end++
			}
			if !yield(refs[start:end]) {
				return
			}
			start = end
		}
	}
}

// writer writes the chunks of one job.
type writer struct {
	box    *Box
	client *kgo.Client
	job    Job
	state  State
	sent   *Sent
	audit  bool
	wrote  kadm.Offsets // the ends of what was written
}

// visible waits until a list that is asked for now shows what was done.
func (w *writer) visible(ctx context.Context) error {
	if len(w.wrote) == 0 {
		return nil
	}
	_, err := scan.AwaitStable(ctx, w.box.admin(), w.wrote, endTimeout)
	return err
}

func (w *writer) write(ctx context.Context, partition int32, chunk []ref) error {
	var letters []*record.Envelope
	if w.state == Redriven {
		var err error
		if letters, err = w.box.load(ctx, partition, chunk); err != nil {
			return err
		}
	}
	if err := w.client.BeginTransaction(); err != nil {
		return fmt.Errorf("redrive: begin: %w", err)
	}
	var again []*kgo.Record
	for _, e := range letters {
		again = append(again, w.box.again(e, w.job))
	}
	notes, err := w.notes(partition, chunk)
	all := slices.Concat(again, notes)
	if err == nil {
		err = w.client.ProduceSync(ctx, all...).FirstErr()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("redrive: write: %w", err), w.end(ctx, kgo.TryAbort))
	}
	if err := w.end(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("%w; run the same command again, it sends only what is still open", err)
	}
	w.sent.add(again, len(chunk))
	for _, r := range all {
		w.wrote.AddOffset(r.Topic, r.Partition, r.Offset+1, -1)
	}
	return nil
}

// notes are the dispositions of a chunk, copies included, and a line for the audit.
func (w *writer) notes(partition int32, chunk []ref) ([]*kgo.Record, error) {
	d := Disposition{State: w.state, Job: w.job.ID, By: w.job.By, Reason: w.job.Reason, At: w.box.now().UTC()}
	topic := w.box.Target.Letters()
	var notes []*kgo.Record
	for i := range chunk {
		for _, offset := range append([]int64{chunk[i].offset}, chunk[i].copies...) {
			note, err := d.Record(holdfast.Coordinates{Topic: topic, Partition: partition, Offset: offset})
			if err != nil {
				return nil, err
			}
			notes = append(notes, note)
		}
	}
	if !w.audit {
		return notes, nil
	}
	line, err := auditLine{
		At: d.At, By: d.By, Act: string(w.state), Reason: d.Reason, Job: d.Job, Topic: topic, Partition: partition, Letters: len(chunk),
	}.record()
	if err != nil {
		return nil, err
	}
	return append(notes, line), nil
}

// end ends the transaction even if the caller is gone: left open, it would
// hide everything behind it from readers until it times out.
func (w *writer) end(ctx context.Context, try kgo.TransactionEndTry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if try == kgo.TryAbort {
		if err := w.client.AbortBufferedRecords(ctx); err != nil {
			return fmt.Errorf("redrive: abort: %w", err)
		}
	}
	if err := w.client.EndTransaction(ctx, try); err != nil {
		return fmt.Errorf("redrive: end transaction: %w", err)
	}
	return nil
}

// again renders one letter for the redrive topic.
func (b *Box) again(e *record.Envelope, job Job) *kgo.Record {
	e.Generation = nextGeneration(b.Target.Kind, e.Failure.Status, e.Generation)
	if e.Sink == "" { // a letter that holdfast did not write
		e.Sink = b.Target.Name
	}
	return e.ToRedrive(b.Target.Redrive(), record.Redrive{Job: job.ID, Count: e.Redrive.Count + 1, By: job.By})
}

// load reads the letters of a chunk, in the chunk's order.
func (b *Box) load(ctx context.Context, partition int32, chunk []ref) ([]*record.Envelope, error) {
	place := make(map[int64]int, len(chunk))
	stretch := scan.Range{From: chunk[0].offset, To: chunk[0].offset + 1}
	for i := range chunk {
		place[chunk[i].offset] = i
		stretch.From, stretch.To = min(stretch.From, chunk[i].offset), max(stretch.To, chunk[i].offset+1)
	}
	ranges := scan.Ranges{}
	ranges.Set(b.Target.Letters(), partition, stretch)
	letters := make([]*record.Envelope, len(chunk))
	err := b.read(ctx, ranges, func(r *kgo.Record, e *record.Envelope) error {
		if i, ok := place[r.Offset]; ok {
			letters[i] = e
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, e := range letters {
		if e == nil {
			return nil, fmt.Errorf("%s-%d@%d: %w", b.Target.Letters(), partition, chunk[i].offset, ErrNoLetter)
		}
	}
	return letters, nil
}
