package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// Bounds of reading dead letters.
const (
	lettersRate   = 8 << 20 // bytes per second
	lettersFetch  = 1 << 20
	lettersWait   = 5 * time.Second
	lettersPoll   = 500
	pauseOnErrors = 5 * time.Second
)

// errForgotten asks for a new start: something that is open is not known.
var errForgotten = errors.New("a dead letter is open again")

// ownership is which partitions of which dead-letter topics are counted.
type ownership map[place]struct{}

// letters follows the dead letters of some partitions, and what was decided
// about them. Who owns other partitions starts anew: decisions about those
// were passed over.
type letters struct {
	owns    ownership
	tallies map[place]*tally
	ends    map[place]int64 // where partitions ended at the start, of those not read up to there
	cancel  context.CancelFunc
	done    chan struct{}
	stale   bool // has to start anew
}

// follow starts to read, until stop.
func (w *Watcher) follow(ctx context.Context, owns ownership) *letters {
	ctx, cancel := context.WithCancel(ctx)
	l := &letters{owns: owns, tallies: map[place]*tally{}, cancel: cancel, done: make(chan struct{})}
	for at := range owns {
		l.tallies[at] = newTally()
	}
	go func() {
		defer close(l.done)
		for ctx.Err() == nil {
			err := w.read(ctx, l)
			if errors.Is(err, errForgotten) {
				return
			}
			if ctx.Err() == nil {
				w.complain("dead letters cannot be counted", err)
			}
			pause(ctx, pauseOnErrors)
		}
	}()
	return l
}

func (l *letters) stop() {
	l.cancel()
	<-l.done
}

// read begins anew and goes on until ctx ends or something fails. What was
// decided so far is read first, so that of a letter that was closed and opened
// again the last word is known.
func (w *Watcher) read(ctx context.Context, l *letters) error {
	names := map[string]struct{}{topics.Dispositions: {}}
	for at := range l.owns {
		names[at.topic] = struct{}{}
	}
	extents, err := scan.MeasureExisting(ctx, w.cfg.Admin, slices.Collect(maps.Keys(names))...)
	if err != nil {
		return err
	}
	w.begin(l, extents)
	decided := scan.Extents{topics.Dispositions: extents[topics.Dispositions]}.Whole()
	result, err := scan.Scanner{Connect: w.cfg.Kafka}.Read(ctx, decided, scan.Budget{}, func(r *kgo.Record) error {
		return w.take(l, []*kgo.Record{r})
	})
	if err == nil && result.Partial != "" {
		err = fmt.Errorf("dispositions: %s", result.Partial)
	}
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(slices.Clip(w.cfg.Kafka),
		kgo.ConsumePartitions(l.from(extents)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they tell that an end was reached
		kgo.FetchMaxBytes(lettersFetch),
		kgo.FetchMaxPartitionBytes(lettersFetch/4),
		kgo.MaxConcurrentFetches(1),
		kgo.FetchMaxWait(lettersWait),
	)...)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer client.CloseAllowingRebalance()
	for {
		fetches := client.PollRecords(ctx, lettersPoll)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return ctx.Err()
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("read %s-%d: %w", errs[0].Topic, errs[0].Partition, errs[0].Err)
		}
		records := fetches.Records()
		if err := w.take(l, records); err != nil {
			return err
		}
		var bytes int64
		for _, r := range records {
			bytes += int64(len(r.Value) + len(r.Key))
		}
		pause(ctx, time.Duration(bytes)*time.Second/lettersRate)
	}
}

// begin forgets what was counted, and notes up to where letters are to be read
// before the count is whole.
func (w *Watcher) begin(l *letters, extents scan.Extents) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.ends = map[place]int64{}
	for at := range l.owns {
		l.tallies[at] = newTally()
		if stretch := extents[at.topic][at.partition]; stretch.From < stretch.To {
			l.ends[at] = stretch.To
		}
	}
}

// from is where to read on: letters from their start, decisions from their end.
func (l *letters) from(extents scan.Extents) map[string]map[int32]kgo.Offset {
	from := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range extents {
		from[topic] = map[int32]kgo.Offset{}
		for num, stretch := range partitions {
			if topic == topics.Dispositions {
				from[topic][num] = kgo.NewOffset().At(stretch.To)
			} else if _, ours := l.owns[place{topic, num}]; ours {
				from[topic][num] = kgo.NewOffset().At(stretch.From)
			}
		}
	}
	return from
}

// take counts what was read.
func (w *Watcher) take(l *letters, records []*kgo.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range records {
		at := place{r.Topic, r.Partition}
		if r.Topic != topics.Dispositions {
			l.tallies[at].read(r, l.tracked() >= maxTracked)
			if r.Offset >= l.ends[at]-1 {
				delete(l.ends, at)
			}
			continue
		}
		letter, d, ok := disposition.Read(r)
		if !ok {
			continue
		}
		if t := l.tallies[place{letter.Topic, letter.Partition}]; t != nil && t.decide(letter.Offset, d.State) {
			l.stale = true
			return errForgotten
		}
	}
	return nil
}

// tracked counts the letters of which each is known.
func (l *letters) tracked() int {
	n := 0
	for _, t := range l.tallies {
		n += len(t.open)
	}
	return n
}

// whole reports whether all was read that was there at the start.
func (l *letters) whole() bool { return l.ends != nil && len(l.ends) == 0 }

// outgrown reports whether letters that were not told apart could be now.
func (l *letters) outgrown() bool {
	var more int64
	for _, t := range l.tallies {
		more += t.more
	}
	return more > 0 && l.tracked() < maxTracked/2
}

// count adds up the open letters of a topic; oldest is zero if there are none.
func (l *letters) count(topic string, starts kadm.ListedOffsets) behind {
	var b behind
	for at, t := range l.tallies {
		if at.topic != topic {
			continue
		}
		if start, ok := starts.Lookup(at.topic, at.partition); ok && start.Err == nil {
			t.expire(start.Offset)
		}
		b.records += t.count()
		b.since = earlier(b.since, t.oldest())
	}
	return b
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
