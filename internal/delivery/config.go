package delivery

import (
	"time"

	"golang.org/x/time/rate"

	"holdfast.internal/internal/topics"
)

// Tombstones says what to do with a null value.
type Tombstones string

// What may be done with tombstones.
const (
	TombstoneDeadLetter Tombstones = "dead_letter" // the default
	TombstoneSkip       Tombstones = "skip"
	TombstoneDelete     Tombstones = "delete" // the sink gets the event with a nil value
)

// Config is one sink's delivery.
type Config struct {
	Sink     string          // the configured name
	Source   string          // topic
	Instance string          // static member name; "" for dynamic membership
	Tiers    []time.Duration // delays of the retry tiers, rising

	Ordered     bool // one record in flight per key
	Concurrency int  // requests in flight
	Rate        rate.Limit
	Burst       int
	Timeout     time.Duration // of one attempt
	MaxHold     time.Duration // longest wait that a vendor may ask for

	OnTombstone Tombstones
	FromLatest  bool // where a new sink starts to read its source

	// EveryFailureSpends turns "whose fault" off: breaker.enabled is false.
	EveryFailureSpends bool
	// MaxSuspect ends the retries of a record that keeps failing while nobody
	// can tell whether the destination answers anybody.
	MaxSuspect time.Duration

	// MaxMessageBytes bounds a record in tiers and dead letters; 0: 1 MiB + headroom.
	MaxMessageBytes int32
}

// Defaults of what a configuration leaves out.
const (
	DefaultConcurrency = 8
	DefaultTimeout     = 30 * time.Second
	DefaultMaxHold     = 24 * time.Hour
	DefaultMaxSuspect  = 24 * time.Hour
)

func (c Config) withDefaults() Config {
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Rate <= 0 {
		c.Rate = rate.Inf
	}
	if c.Burst <= 0 {
		c.Burst = max(1, int(min(c.Rate, 1000)))
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxHold <= 0 {
		c.MaxHold = DefaultMaxHold
	}
	if c.MaxSuspect <= 0 {
		c.MaxSuspect = DefaultMaxSuspect
	}
	if c.OnTombstone == "" {
		c.OnTombstone = TombstoneDeadLetter
	}
	if c.MaxMessageBytes <= 0 {
		c.MaxMessageBytes = defaultMaxMessage
	}
	return c
}

// tierOf maps the topics of retries to their index; the redrive topic and the
// source are in none.
func (c Config) tierOf() map[string]int {
	m := make(map[string]int, len(c.Tiers))
	for i, d := range c.Tiers {
		m[topics.Retry(c.Sink, d)] = i
	}
	return m
}

// topics lists all that the sink's worker reads.
func (c Config) topics() []string {
	all := []string{c.Source, topics.Redrive(c.Sink)}
	for _, d := range c.Tiers {
		all = append(all, topics.Retry(c.Sink, d))
	}
	return all
}
