package lookup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// Lag is how far one sink or processor is behind. Its field names are an
// interface for scripts. What a processor has not (tiers, parked keys, a
// breaker) is empty.
type Lag struct {
	Kind      Kind   `json:"kind"`
	Sink      string `json:"sink"`      // "" for a processor
	Processor string `json:"processor"` // "" for a sink
	Workers   *int   `json:"workers"`   // as in [Standing]
	Live      int64  `json:"live"`      // records of the source not settled yet
	// Redrive counts redriven records not settled yet.
	Redrive int64           `json:"redrive"`
	Retry   map[string]Tier `json:"retry"` // by tier: 1m, 2m, 4m
	DLQ     int64           `json:"dlq"`   // open dead letters
	// ParkedKeys have records that wait behind an earlier one, in a tier or
	// among the dead letters.
	ParkedKeys    int64 `json:"parked_keys"`
	ParkedRecords int64 `json:"parked_records"`
	// Breaker is closed, half_open or open, as the running workers say; null
	// where none does.
	Breaker *string `json:"breaker"`
	// Held, NextAt, Next, Endpoint, EndpointUntil and Waits are those of [Standing].
	Held          string     `json:"held"`
	NextAt        *time.Time `json:"next_at"`
	Next          string     `json:"next"`
	Endpoint      string     `json:"endpoint"`
	EndpointUntil *time.Time `json:"endpoint_until"`
	Waits         string     `json:"waits"`
	// Partial says which counts are estimates from offsets, and why; "" if none is.
	Partial string `json:"partial"`
}

// Kind tells sinks from processors.
type Kind string

// The kinds.
const (
	OfSink      Kind = "sink"
	OfProcessor Kind = "processor"
)

// Tier counts the records of one retry tier that are not settled.
type Tier struct {
	Waiting int64 `json:"waiting"` // all of them
	Due     int64 `json:"due"`     // of these, those whose time has come
	Late    int64 `json:"late"`    // of these, those due for more than 10 s
}

// lateAfter is how long a due record may wait before it counts as late.
const lateAfter = 10 * time.Second

// LagBudget bounds what Lag reads of one sink's topics, three times over: the
// source, the tiers, and each partition of the dead letters.
func LagBudget() scan.Budget {
	return scan.Budget{Records: 100_000, Bytes: 64 << 20, Time: 5 * time.Second}
}

// Lag counts for every sink, then for every processor, each in the order of the
// configuration.
func (l *Lookup) Lag(ctx context.Context, budget scan.Budget) ([]Lag, error) {
	states, err := l.states(ctx)
	if err != nil {
		return nil, err
	}
	workers := l.workers(ctx)
	var sinks, processors []Lag
	for _, t := range l.Targets {
		lag, err := l.lag(ctx, t, budget)
		if err != nil {
			return nil, fmt.Errorf("lag of %s: %w", t.Name, err)
		}
		lag.Workers = workers(t)
		if t.Processor {
			lag.Kind, lag.Processor = OfProcessor, t.Name
			processors = append(processors, lag)
			continue
		}
		lag.Kind, lag.Sink = OfSink, t.Name
		st := l.standing(t, states, lag.Workers)
		lag.Breaker, lag.Held, lag.NextAt, lag.Next, lag.Waits = st.Breaker, st.Held, st.NextAt, st.Next, st.Waits
		lag.Endpoint, lag.EndpointUntil = st.Endpoint, st.EndpointUntil
		sinks = append(sinks, lag)
	}
	return append(sinks, processors...), nil
}

func (l *Lookup) lag(ctx context.Context, t dlq.Target, budget scan.Budget) (Lag, error) {
	lag := Lag{Retry: map[string]Tier{}}
	settled, err := dlq.Settled(ctx, l.Client, t.Group())
	if err != nil {
		return lag, err
	}
	if t.FromLatest {
		settled = fromLatest(settled, t.Source)
	}
	source, err := l.count(ctx, budget, settled, t.Source)
	if err != nil {
		return lag, err
	}
	own, err := l.count(ctx, budget, settled, append(t.Retry(), t.Redrive())...)
	if err != nil {
		return lag, err
	}
	lag.Partial = cmp.Or(source.partial, own.partial)
	lag.Live, lag.Redrive = source.tiers[t.Source].Waiting, own.tiers[t.Redrive()].Waiting
	for _, tier := range t.Tiers {
		lag.Retry[topics.Tier(tier)] = own.tiers[topics.Retry(t.Name, tier)]
	}
	beyond := func(origin holdfast.Coordinates) bool {
		return origin.Topic == t.Source && !settled(origin.Topic, origin.Partition).Has(origin.Offset)
	}
	if err := l.letters(ctx, t, budget, beyond, &own, &lag); err != nil {
		return lag, err
	}
	lag.ParkedKeys, lag.ParkedRecords = int64(len(own.keys)), own.parked
	for _, origin := range own.origins {
		if beyond(origin) {
			lag.Live--
		}
	}
	lag.Live = max(0, lag.Live)
	return lag, nil
}

// fromLatest settles what lay in a source before its sink came: one that starts
// at the end, and has not started, has nothing to do there.
func fromLatest(settled settledFunc, source string) settledFunc {
	all, _ := offsets.ReadSettled(math.MaxInt64, "") // no metadata, no error
	return func(topic string, p int32) offsets.Settled {
		if s := settled(topic, p); topic != source || s.Head() >= 0 {
			return s
		}
		return all
	}
}

// letters counts the open dead letters, and what is parked behind them. A
// record that moved on while earlier ones of its partition are still in work is
// not settled at its source yet, and counts where it lies now alone.
func (l *Lookup) letters(ctx context.Context, t dlq.Target, budget scan.Budget, beyond func(holdfast.Coordinates) bool, own *counts, lag *Lag) error {
	box := dlq.Box{Target: t, Client: l.Client, Scanner: l.Scanner}
	err := box.List(ctx, dlq.ListOptions{Budget: budget, All: true}, func(letter dlq.Letter) error {
		switch letter.State {
		case dlq.Open:
			lag.DLQ++
		case dlq.Parked:
			own.park(letter.Key)
		default:
			return nil
		}
		if origin, err := holdfast.ParseCoordinates(letter.Origin); err == nil && beyond(origin) {
			lag.Live--
		}
		return nil
	})
	switch {
	case errors.Is(err, scan.ErrNoTopic):
		return nil
	case errors.Is(err, dlq.ErrPartial):
		lag.Partial = cmp.Or(lag.Partial, err.Error())
		return nil
	}
	return err
}

// counts is what lies unsettled in some topics.
type counts struct {
	tiers   map[string]Tier // by topic
	keys    map[uint64]struct{}
	parked  int64
	origins []holdfast.Coordinates // of the records that moved on from their source
	partial string
}

// count reads what is not settled: offsets alone would count the markers of
// transactions too. Where the budget ends first, a topic's count is the
// distance of its offsets.
func (l *Lookup) count(ctx context.Context, budget scan.Budget, settled settledFunc, names ...string) (counts, error) {
	c := counts{tiers: map[string]Tier{}, keys: map[uint64]struct{}{}}
	extents, err := scan.MeasureExisting(ctx, l.admin(), names...)
	if err != nil {
		return c, err
	}
	ranges, now := extents.From(func(topic string, p int32) (int64, bool) { return settled(topic, p).Head(), true }), l.now()
	result, err := l.Scanner.Read(ctx, ranges, budget, func(r *kgo.Record) error {
		if !settled(r.Topic, r.Partition).Has(r.Offset) {
			c.add(r, now)
		}
		return nil
	})
	if c.partial = result.Partial; c.partial != "" {
		c.estimate(ranges)
	}
	return c, err
}

func (c *counts) add(r *kgo.Record, now time.Time) {
	e := record.Read(r, record.FromHoldfast)
	tier := c.tiers[r.Topic]
	tier.Waiting++
	if !e.Due.After(now) {
		tier.Due++
		if now.Sub(e.Due) > lateAfter {
			tier.Late++
		}
	}
	c.tiers[r.Topic] = tier
	if e.Event.Origin != e.At {
		c.origins = append(c.origins, e.Event.Origin)
	}
	if e.Hop > 0 && e.Redrive.Count == 0 && parked(e) {
		c.park(dlq.KeyText(r.Key))
	}
}

// park counts a record that waits behind one of its key.
func (c *counts) park(key *string) {
	c.parked++
	h := fnv.New64a()
	if key != nil {
		_, _ = h.Write([]byte(*key))
	}
	c.keys[h.Sum64()] = struct{}{}
}

func (c *counts) estimate(ranges scan.Ranges) {
	for topic, partitions := range ranges {
		tier := c.tiers[topic]
		tier.Waiting = 0
		for _, stretch := range partitions {
			tier.Waiting += stretch.To - stretch.From
		}
		c.tiers[topic] = tier
	}
}
