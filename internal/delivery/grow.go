package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal/internal/growth"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

const (
	// growthEvery is how often the sink's partitions are counted: what is
	// delivered between a growth and its notice may break the order of a key
	// whose producer was quicker.
	growthEvery = 2 * time.Second
	// barredPoll is how long a read may last while a barrier may fall.
	barredPoll = 500 * time.Millisecond
	// producersLearn is how long producers may go on without having heard of new
	// partitions: Kafka's clients ask every 5 minutes.
	producersLearn = 5*time.Minute + 30*time.Second
	// growthTold is how often the log says that the sink waits for new topics.
	growthTold = time.Minute
)

// growing is what the worker knows of the growth of its source.
type growing struct {
	look chan struct{} // partitions were assigned that nobody has counted

	mu      sync.Mutex
	known   int32                   // partitions of the source, when all was as it should be
	ids     map[string]kadm.TopicID // as met first, before anything was read
	deleted map[string]bool         // of these
	trouble string
	told    time.Time
	stage   growth.Stage // that was logged last
}

// meet bars the source where a partition comes that nobody has counted yet:
// topics may have grown since the last look.
func (g *growing) meet(nums []int32, s *scheduler) {
	g.mu.Lock()
	known := g.known
	g.mu.Unlock()
	if known == 0 || len(nums) == 0 || slices.Max(nums) < known {
		return
	}
	s.barNew()
	poke(g.look)
}

// learnGrowth looks until it is known whether the source has grown; false where
// ctx ended first. Nothing is read before.
func (w *Worker) learnGrowth(ctx context.Context) bool {
	for ctx.Err() == nil {
		err := w.lookAtGrowth(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			w.log.Warn("the partitions of the source cannot be counted; nothing is read before they are", zap.Error(err))
		}
		_ = sleep(ctx, growthEvery/10)
	}
	return false
}

// why says in words what keeps the sink from reading on, "" for nothing.
func (g *growing) why() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trouble
}

func (w *Worker) growthLoop(ctx context.Context) {
	tick := time.NewTicker(growthEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.growing.look:
		}
		bounded, cancel := context.WithTimeout(ctx, measureTimeout)
		if err := w.lookAtGrowth(bounded); err != nil && ctx.Err() == nil {
			w.log.Debug("partitions are not counted", zap.Error(err))
		}
		cancel()
	}
}

// lookAtGrowth counts partitions, and puts up or takes down the barrier.
func (w *Worker) lookAtGrowth(ctx context.Context) error {
	have, err := w.admin.ListTopics(kadm.WithAuthorizedOps(ctx), w.sched.layout.names...) // which asks the broker, not a cache
	if err != nil {
		return fmt.Errorf("count partitions: %w", err)
	}
	if gone := w.growing.gone(have, w.sched.layout.names); gone != "" {
		w.refuse("topic_gone", fmt.Sprintf("%s: stop the sink, delete the offsets of group %s, and start it with --from", gone, topics.Group(w.cfg.Sink)))
		return nil
	}
	count, least, smallest := int32(0), int32(0), ""
	for slot, name := range w.sched.layout.names {
		if err := have[name].Err; err != nil {
			return fmt.Errorf("count partitions of %s: %w", name, err)
		}
		n := int32(len(have[name].Partitions)) //nolint:gosec // Kafka counts partitions in 32 bits
		switch {
		case slot == slotSource:
			count, least, smallest = n, n, name
		case n < least:
			least, smallest = n, name
		}
	}
	if count > least {
		w.refuse("source_grew", fmt.Sprintf("%s has %d partitions and %s %d: run `holdfast topic apply --config FILE --yes`", w.cfg.Source, count, smallest, least))
	} else {
		w.refuse("", "")
	}
	if count <= least && count == w.counted() && !w.sched.barred() {
		return nil
	}
	w.client.ForceMetadataRefresh() // so that the group hears of it, too
	cut, err := growth.Read(ctx, w.aside, w.cfg.Sink, w.cfg.Source)
	if err != nil {
		return err
	}
	if w.sched.ownsNumber(0) {
		if cut, err = w.advance(ctx, cut, count, least); err != nil {
			return err
		}
	}
	switch {
	case cut != nil:
		w.tellStage(cut)
		w.sched.bar(&barrier{cut})
	case count > least:
		w.sched.bar(&barrier{}) // the owner of partition 0 is about to say where
	default:
		w.tellStage(nil)
		w.count(count)
		w.sched.bar(nil)
	}
	return nil
}

// advance takes the growth a stage further where its time has come, and returns
// what holds now.
func (w *Worker) advance(ctx context.Context, cut *growth.Cut, count, least int32) (*growth.Cut, error) {
	next, err := w.nextCut(ctx, cut, count, least)
	switch {
	case err != nil || next == cut:
		return cut, err
	case next == nil:
		return nil, growth.Forget(ctx, w.admin, w.cfg.Sink)
	}
	return next, growth.Write(ctx, w.admin, w.cfg.Sink, w.cfg.Source, next)
}

func (w *Worker) nextCut(ctx context.Context, cut *growth.Cut, count, least int32) (*growth.Cut, error) {
	if cut == nil {
		if count == least {
			return nil, nil //nolint:nilnil // nothing grows
		}
		return growth.Take(ctx, w.admin, w.cfg.Source, least, count, growth.Stopped, time.Now())
	}
	if count > least {
		return cut, nil
	}
	switch {
	case cut.Stage == growth.Learning && time.Since(cut.Grown) < producersLearn:
		return cut, nil
	case cut.Stage == growth.Learning:
		return growth.Take(ctx, w.admin, w.cfg.Source, cut.From, cut.To, growth.Crossing, cut.Grown)
	}
	last := cut.Stage == growth.Crossing || !w.cfg.Ordered
	if done, err := w.settledBefore(ctx, cut, last); err != nil || !done {
		return cut, err
	}
	switch {
	case !last:
		later := *cut
		later.Stage = growth.Learning
		return &later, nil
	case count > cut.To: // it grew once more
		return growth.Take(ctx, w.admin, w.cfg.Source, cut.To, count, growth.Stopped, time.Now())
	}
	return nil, nil //nolint:nilnil // all is settled
}

// settledBefore reports whether everything is settled that was written before
// the cut, by whichever worker; and, at the last stage, whether the new
// partitions have a place, as a sink that starts at the end would not find
// theirs later. What is committed is looked at first: a move is
// written before it is committed, so it shows in the ends that are read after.
func (w *Worker) settledBefore(ctx context.Context, cut *growth.Cut, last bool) (bool, error) {
	done, err := kafka.CommittedOffsets(ctx, w.aside, topics.Group(w.cfg.Sink))
	if err != nil {
		return false, fmt.Errorf("committed offsets: %w", err)
	}
	for num := cut.From; last && num < cut.To; num++ {
		if _, ok := done.Lookup(w.cfg.Source, num); !ok {
			return false, nil
		}
	}
	if !w.cfg.Ordered {
		return true, nil
	}
	starts, err := w.admin.ListStartOffsets(ctx, w.sched.layout.names...)
	if err != nil {
		return false, fmt.Errorf("starts: %w", err)
	}
	ends, err := w.admin.ListCommittedOffsets(ctx, w.sched.layout.names...)
	if err != nil {
		return false, fmt.Errorf("ends: %w", err)
	}
	for slot, topic := range w.sched.layout.names {
		for num := range cut.From {
			start, hasStart := starts.Lookup(topic, num)
			end, hasEnd := ends.Lookup(topic, num)
			if !hasStart || !hasEnd {
				return false, nil
			}
			if err := cmp.Or(start.Err, end.Err); err != nil {
				return false, fmt.Errorf("offsets of %s-%d: %w", topic, num, err)
			}
			to := end.Offset
			if slot == slotSource {
				to = cut.Ends[num]
			}
			at, ok := done.Lookup(topic, num)
			if start.Offset < to && (!ok || at.At < to) {
				return false, nil
			}
		}
	}
	return true, nil
}

// pass puts the barrier in place that is asked for. It returns which partitions
// of the source are read again from an earlier offset.
func (w *Worker) pass() map[int32]int64 {
	again := w.sched.pass()
	if len(again) == 0 {
		return nil
	}
	offsets := make(map[int32]kgo.EpochOffset, len(again))
	var nums []int32
	for num, at := range again {
		offsets[num] = kgo.EpochOffset{Epoch: -1, Offset: at}
		nums = append(nums, num)
	}
	w.commits <- struct{}{}
	w.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{w.cfg.Source: offsets}) // never beside a commit, says the client
	<-w.commits
	w.client.ResumeFetchPartitions(map[string][]int32{w.cfg.Source: nums})
	return again
}

func (w *Worker) counted() int32 {
	w.growing.mu.Lock()
	defer w.growing.mu.Unlock()
	return w.growing.known
}

func (w *Worker) count(n int32) {
	w.growing.mu.Lock()
	defer w.growing.mu.Unlock()
	w.growing.known = n
}

// gone says which of the topics was deleted, and perhaps made anew, since it
// was met first; "" for none. The client goes on to ask for the one it knew and
// tells nobody, so nothing is read of such a topic, and nothing skipped.
func (g *growing) gone(have kadm.TopicDetails, names []string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ids == nil {
		g.ids, g.deleted = map[string]kadm.TopicID{}, map[string]bool{}
	}
	for _, name := range names {
		met, known := g.ids[name]
		switch now := have[name]; {
		case known && errors.Is(now.Err, kerr.UnknownTopicOrPartition):
			g.deleted[name] = true
			return name + " was deleted"
		case now.Err != nil:
		case known && now.ID != met:
			g.deleted[name] = true
			return name + " was deleted and made anew"
		default:
			g.ids[name] = now.ID
		}
	}
	return ""
}

// id is that of the topic that was met under a name; false once it was deleted,
// as what is committed by name alone would be of its successor. Brokers before
// 4.1 take commits by name, and before 2.8 there are no ids.
func (g *growing) id(topic string) (id kadm.TopicID, there bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ids[topic], !g.deleted[topic]
}

// refuse notes why the sink is not ready, and says so once a minute.
func (w *Worker) refuse(reason, why string) {
	w.growing.mu.Lock()
	defer w.growing.mu.Unlock()
	was := w.growing.trouble
	w.growing.trouble = why
	switch {
	case why != "" && (was == "" || time.Since(w.growing.told) >= growthTold):
		w.growing.told = time.Now()
		w.log.Error("the topics of the sink are not as they should be; it stands still until they are", zap.String("reason", reason), zap.String("detail", why))
	case why == "" && was != "":
		w.log.Info("all topics have the partitions of the source")
	}
}

// tellStage logs how far the sink has come with a growth.
func (w *Worker) tellStage(cut *growth.Cut) {
	stage := growth.Stage("")
	if cut != nil {
		stage = cut.Stage
	}
	w.growing.mu.Lock()
	defer w.growing.mu.Unlock()
	if stage == w.growing.stage {
		return
	}
	w.growing.stage = stage
	if cut == nil {
		w.log.Info("what was written before the growth is settled; all partitions are read")
		return
	}
	w.log.Info("the source grows", zap.String("stage", string(stage)), zap.Int32("from", cut.From), zap.Int32("to", cut.To), zap.Int64s("ends", cut.Ends))
}
