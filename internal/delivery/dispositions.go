package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// Times and bounds of what has to do with dispositions.
const (
	dispositionsRetry = time.Second
	releaseAtOnce     = 1000
	strayPoll         = 50 * time.Millisecond
	// fewDecisions are remembered for as long as the worker runs; with more it is
	// asked now and then which of them are about letters that are gone.
	fewDecisions = 10_000
)

// errPartly reports that brokers did not send all of the dispositions.
var errPartly = errors.New("not all of them could be read")

// followDispositions keeps up with what is decided about the sink's dead
// letters, and writes down what left them, until ctx ends. Shards open once
// all was read that was there at the start: before, nobody knows which letters
// still stand in the way of their keys.
func (w *Worker) followDispositions(ctx context.Context) {
	client, err := w.readDispositions(ctx)
	for err != nil {
		if ctx.Err() == nil {
			w.log.Warn("dispositions are not known yet; nothing is sent before they are", zap.Error(err))
		}
		if sleep(ctx, dispositionsRetry) != nil {
			return
		}
		client, err = w.readDispositions(ctx)
	}
	defer client.CloseAllowingRebalance()
	w.sched.inform()
	var releases sync.WaitGroup
	releases.Go(func() { w.releaseLoop(ctx, client) })
	defer releases.Wait()
	complaints := newComplaints(w.log)
	for {
		fetches := client.PollRecords(ctx, pollRecords)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachError(complaints.fetch)
		w.decide(ctx, fetches.Records())
	}
}

// decide takes decisions in, and forgets those about letters that the group has
// settled: nobody reads these again.
func (w *Worker) decide(ctx context.Context, records []*kgo.Record) {
	if many := w.sched.decide(w.decisions(records)); !many {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	done, err := kafka.CommittedOffsets(ctx, w.aside, topics.Group(w.cfg.Sink))
	if err != nil {
		w.log.Debug("what was decided about letters that are gone is remembered", zap.Error(err))
	}
	settled := map[int32]int64{}
	for num, o := range done[topics.DeadLetters(w.cfg.Sink)] {
		settled[num] = o.At
	}
	w.sched.forgetDecided(settled)
}

// readDispositions reads what was decided so far, and returns a client that
// reads on from there.
func (w *Worker) readDispositions(ctx context.Context) (*kgo.Client, error) {
	extents, err := scan.Measure(ctx, w.admin, topics.Dispositions)
	if err != nil {
		return nil, err
	}
	scanner := scan.Scanner{Connect: w.deps.Kafka}
	result, err := scanner.Read(ctx, extents.Whole(), scan.Budget{}, func(r *kgo.Record) error {
		w.decide(ctx, []*kgo.Record{r})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dispositions: %w", err)
	}
	if result.Partial != "" {
		return nil, fmt.Errorf("dispositions: %w: %s", errPartly, result.Partial)
	}
	from := map[int32]kgo.Offset{}
	for num, stretch := range extents[topics.Dispositions] {
		from[num] = kgo.NewOffset().At(stretch.To)
	}
	client, err := kgo.NewClient(append(slices.Clip(w.deps.Kafka),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topics.Dispositions: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.RecordPartitioner(disposition.Partitioner()),
		kgo.ProducerLinger(0),
	)...)
	if err != nil {
		return nil, fmt.Errorf("dispositions: %w", err)
	}
	return client, nil
}

// decisions picks those about letters of this sink.
func (w *Worker) decisions(records []*kgo.Record) []decision {
	var out []decision
	for _, r := range records {
		letter, d, ok := disposition.Read(r)
		if ok && letter.Topic == topics.DeadLetters(w.cfg.Sink) {
			out = append(out, decision{letterAt{letter.Partition, letter.Offset}, d.State})
		}
	}
	return out
}

// releaseLoop writes down which records left the dead-letter topic by
// themselves, until ctx ends.
func (w *Worker) releaseLoop(ctx context.Context, client *kgo.Client) {
	for {
		list := w.sched.leavers(releaseAtOnce)
		if len(list) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-w.sched.leaving:
			}
			continue
		}
		for err := w.release(ctx, client, list); err != nil; err = w.release(ctx, client, list) {
			if ctx.Err() == nil {
				w.log.Error("the broker does not take dispositions; what left the dead letters is not settled before it does", zap.Error(err))
			}
			if sleep(ctx, dispositionsRetry) != nil {
				return
			}
		}
		w.sched.left(list)
	}
}

// release writes one disposition for each letter. Written twice they say the same.
func (w *Worker) release(ctx context.Context, client *kgo.Client, list []release) error {
	d := disposition.Disposition{State: disposition.Released, By: topics.Group(w.cfg.Sink), Reason: "went on", At: time.Now().UTC()}
	records := make([]*kgo.Record, len(list))
	for i, r := range list {
		var err error
		if records[i], err = d.Record(w.letterOf(r)); err != nil {
			return err
		}
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

func (w *Worker) letterOf(r release) holdfast.Coordinates {
	return holdfast.Coordinates{Topic: topics.DeadLetters(w.cfg.Sink), Partition: r.shard.num, Offset: r.offset}
}

// strayLoop closes letters that were redriven and whose copy was delivered
// while nobody followed the dead letters, until ctx ends. Without it they would
// block their keys for ever.
func (w *Worker) strayLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.sched.astray:
		}
		strays := w.sched.strays()
		if len(strays) == 0 {
			continue
		}
		ends, err := w.redriveEnds(ctx)
		if err != nil {
			poke(w.sched.astray)
			if sleep(ctx, dispositionsRetry) != nil {
				return
			}
			continue
		}
		for strays = w.sched.closeStrays(strays, ends); len(strays) > 0; strays = w.sched.closeStrays(strays, ends) {
			if sleep(ctx, strayPoll) != nil {
				return
			}
		}
	}
}

// redriveEnds is where the redrive topic ends, with what no reader sees yet: a
// transaction may have ended where the dispositions lie and not here. 0 stands
// for an empty partition.
func (w *Worker) redriveEnds(ctx context.Context) (map[int32]int64, error) {
	topic := topics.Redrive(w.cfg.Sink)
	starts, err := w.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("start of %s: %w", topic, err)
	}
	listed, err := w.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("end of %s: %w", topic, err)
	}
	ends := map[int32]int64{}
	for num, end := range listed[topic] {
		start, ok := starts.Lookup(topic, num)
		if err := errors.Join(start.Err, end.Err); err != nil || !ok {
			return nil, fmt.Errorf("ends of %s-%d: %w", topic, num, cmp.Or(err, error(kerr.UnknownTopicOrPartition)))
		}
		if ends[num] = end.Offset; start.Offset >= end.Offset {
			ends[num] = 0
		}
	}
	return ends, nil
}
