package delivery

import (
	"time"

	"holdfast.internal/internal/record"
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
	Sink     string // the configured name
	Source   string // topic
	Instance string // static member name; "" for dynamic membership
	// BrokerBalances leaves the division of partitions to the broker (KIP-848,
	// its range assignor) instead of to the group's own balancer. All members of
	// a group choose alike.
	BrokerBalances bool
	Tiers          []time.Duration // delays of the retry tiers, rising

	Ordered     bool          // one record in flight per key
	Concurrency int           // requests in flight
	Timeout     time.Duration // of one attempt
	MaxHold     time.Duration // longest wait that a vendor may ask for

	// TenantHeader or TenantField names whose quota a record uses; both empty: nobody is told apart.
	TenantHeader, TenantField string
	// TenantConcurrency is how many slots one tenant may have; half of all by default.
	TenantConcurrency int

	// Park keeps the order around dead letters: what follows one of its key
	// waits in the dead-letter topic behind it.
	Park bool
	// MaxAge ends the retries of a record that is throttled while others pass.
	MaxAge time.Duration
	// DeadLetterBudget is how many refusals a burst may hold.
	DeadLetterBudget int
	// MaxOutstanding bounds the records that wait in tiers; at the bound the source is not read.
	MaxOutstanding int

	OnTombstone Tombstones
	FromLatest  bool // where a new sink starts to read its source
	From        From // where one starts whose place is lost; overrules FromLatest

	// EveryFailureSpends turns "whose fault" off: breaker.enabled is false.
	EveryFailureSpends bool
	// MaxSuspect ends the retries of a record that keeps failing while nobody
	// can tell whether the destination answers anybody.
	MaxSuspect time.Duration

	// CompatHeaders are the error headers of other tools that dead letters carry besides; none by default.
	CompatHeaders []record.Compat

	// MaxMessageBytes bounds a record in tiers and dead letters; 0: 1 MiB + headroom.
	MaxMessageBytes int32
}

// Defaults of what a configuration leaves out.
const (
	DefaultConcurrency = 8
	DefaultTimeout     = 30 * time.Second
	DefaultMaxHold     = 24 * time.Hour
	DefaultMaxSuspect  = 24 * time.Hour
	DefaultMaxAge      = 7 * 24 * time.Hour

	DefaultDeadLetterBudget = 1000
	DefaultMaxOutstanding   = 2_000_000
)

func (c Config) withDefaults() Config {
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.TenantConcurrency <= 0 {
		c.TenantConcurrency = max(1, c.Concurrency/2)
	}
	if c.MaxAge <= 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.DeadLetterBudget <= 0 {
		c.DeadLetterBudget = DefaultDeadLetterBudget
	}
	if c.MaxOutstanding <= 0 {
		c.MaxOutstanding = DefaultMaxOutstanding
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

func (c Config) tenanted() bool { return c.TenantHeader != "" || c.TenantField != "" }
