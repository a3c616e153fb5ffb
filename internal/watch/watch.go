package watch

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal/internal/topics"
)

// Config is what is watched, and how to reach it.
type Config struct {
	Groups []Group
	Kafka  []kgo.Opt // brokers, credentials and bounds, as of kafka.Options
	Admin  *kadm.Client
	Log    *zap.Logger
	// Every is the time from one look to the next; 10 s by default.
	Every time.Duration
}

const (
	defaultEvery   = 10 * time.Second
	lookTimeout    = 5 * time.Second
	retentionEvery = 5 * time.Minute
	complainEvery  = time.Minute
)

// Watcher keeps the series of some groups up to date.
type Watcher struct {
	cfg    Config
	series series

	before    map[place]int64 // where workers read at the last look
	peeked    map[place]glimpse
	retention time.Time // when it was asked for last

	mu        sync.Mutex // guards letters, and complained
	letters   *letters   // nil while nothing is owned
	claimed   ownership  // at the last look
	complaint time.Time
}

// New makes a watcher and its series, which begin at 0; [Watcher.Run] works.
func New(cfg Config, reg prometheus.Registerer) *Watcher {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	w := &Watcher{cfg: cfg, series: newSeries(reg), before: map[place]int64{}, peeked: map[place]glimpse{}}
	for i := range cfg.Groups {
		w.series.begin(&cfg.Groups[i])
	}
	return w
}

// Run looks until ctx ends. What brokers refuse is logged and asked for again;
// the series keep what was known last.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	defer func() {
		if w.letters != nil {
			w.letters.stop()
		}
	}()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.complain("what waits cannot be measured", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look measures once.
func (w *Watcher) look(ctx context.Context) error {
	parts := make([][]Part, len(w.cfg.Groups))
	owns, names := ownership{}, map[string]struct{}{}
	for i := range w.cfg.Groups {
		g := &w.cfg.Groups[i]
		parts[i] = g.Parts()
		for _, num := range g.owned(parts[i]) {
			owns[place{topics.DeadLetters(g.Name), num}] = struct{}{}
		}
		for _, p := range parts[i] {
			names[p.Topic] = struct{}{}
		}
	}
	for at := range owns {
		names[at.topic] = struct{}{}
	}
	w.own(ctx, owns)
	var starts, ends kadm.ListedOffsets
	if len(names) > 0 { // kadm would list every topic there is
		ask, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		var err error
		list := slices.Collect(maps.Keys(names))
		if starts, err = w.cfg.Admin.ListStartOffsets(ask, list...); err != nil {
			return err
		}
		if ends, err = w.cfg.Admin.ListCommittedOffsets(ask, list...); err != nil {
			return err
		}
	}
	all := slices.Concat(parts...)
	err := w.peek(ctx, still(all, w.before, starts, ends, w.peeked), ends)
	w.remember(all)
	now := time.Now()
	for i := range w.cfg.Groups {
		g := &w.cfg.Groups[i]
		sums := measure(parts[i], starts, ends, w.peeked)
		for topic, k := range g.topics() {
			w.series.lag(g, topic, k, sums[topic], now)
		}
	}
	w.countLetters(starts, now)
	w.askRetention(ctx, now)
	return err
}

// remember keeps where workers read, and what was seen of partitions that they
// still own.
func (w *Watcher) remember(parts []Part) {
	clear(w.before)
	for _, p := range parts {
		w.before[place{p.Topic, p.Partition}] = p.Next
	}
	maps.DeleteFunc(w.peeked, func(at place, _ glimpse) bool { _, ours := w.before[at]; return !ours })
}

// own follows the dead letters of what is owned. In a rebalance that changes
// with every look; who has owned the same for two looks begins to read.
func (w *Watcher) own(ctx context.Context, owns ownership) {
	steady := maps.Equal(owns, w.claimed) || w.claimed == nil
	w.claimed = owns
	w.mu.Lock()
	current := w.letters
	fresh := current != nil && maps.Equal(current.owns, owns) && !current.stale && !current.outgrown()
	w.mu.Unlock()
	if fresh || !steady && current != nil || current == nil && len(owns) == 0 {
		return
	}
	if current != nil {
		current.stop()
	}
	var next *letters
	if len(owns) > 0 {
		next = w.follow(ctx, owns)
	} else {
		for i := range w.cfg.Groups {
			w.series.letters(&w.cfg.Groups[i], behind{}, time.Time{})
		}
	}
	w.mu.Lock()
	w.letters = next
	w.mu.Unlock()
}

// countLetters shows the open letters. Until all was read that there is, the
// series keep what was known before.
func (w *Watcher) countLetters(starts kadm.ListedOffsets, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.letters == nil || !w.letters.whole() {
		return
	}
	for i := range w.cfg.Groups {
		g := &w.cfg.Groups[i]
		w.series.letters(g, w.letters.count(topics.DeadLetters(g.Name), starts), now)
	}
}

// askRetention learns how long dead letters are kept. Who may not ask never knows.
func (w *Watcher) askRetention(ctx context.Context, now time.Time) {
	if now.Sub(w.retention) < retentionEvery || len(w.cfg.Groups) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	names := make([]string, len(w.cfg.Groups))
	for i, g := range w.cfg.Groups {
		names[i] = topics.DeadLetters(g.Name)
	}
	configs, err := w.cfg.Admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return
	}
	w.retention = now
	for i := range w.cfg.Groups {
		found, err := configs.On(names[i], nil)
		if err != nil {
			continue
		}
		for _, c := range found.Configs {
			if ms, err := strconv.ParseInt(c.MaybeValue(), 10, 64); c.Key == "retention.ms" && err == nil {
				w.series.kept(&w.cfg.Groups[i], time.Duration(ms)*time.Millisecond)
			}
		}
	}
}

// complain logs what goes wrong, once a minute.
func (w *Watcher) complain(what string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.complaint) < complainEvery {
		return
	}
	w.complaint = time.Now()
	w.cfg.Log.Warn(what, zap.Error(err))
}
