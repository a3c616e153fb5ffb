package config

import (
	"time"

	"holdfast.internal/internal/record"
	"holdfast.internal/sinks"
)

// Sink is one delivery: what every kind has in common. What the kind itself
// needs stands beside these keys, and is in Section. Defaults are in defaultSink.
type Sink struct {
	// Name is in topics, metrics and idempotency keys: never change it.
	Name string `yaml:"name" jsonschema:"required"`
	// Kind is what it delivers to; further keys follow from it.
	Kind string `yaml:"kind" jsonschema:"required"`
	// In is the topic read.
	In string `yaml:"in" jsonschema:"required"`
	// Ordering is key (one record in flight per key) or none.
	Ordering string `yaml:"ordering" jsonschema:"enum=key,enum=none"`
	// OnTombstone says what becomes of null values: dead_letter, skip
	// or, for tables, delete.
	OnTombstone string `yaml:"on_tombstone" jsonschema:"enum=dead_letter,enum=skip,enum=delete"`
	// Limits protect the destination.
	Limits Limits `yaml:"limits"`
	// Retry says how records wait for another attempt.
	Retry Retry `yaml:"retry"`
	// DLQ says how dead letters are kept and sent again.
	DLQ DLQ `yaml:"dlq"`
	// OnDeadLetter is continue, or park: what follows a
	// dead-lettered record of its key waits behind it.
	OnDeadLetter string `yaml:"on_dead_letter" jsonschema:"enum=continue,enum=park"`
	// Stale says what a redrive does with a letter of whose key a later record was delivered: send it, or skip it. The
	// default is the kind's: send where records stand alone or carry a version, skip where each replaces the last.
	Stale string `yaml:"stale" jsonschema:"enum=send,enum=skip"`
	// Start is where a new sink begins to read: earliest or latest.
	Start string `yaml:"start" jsonschema:"enum=earliest,enum=latest"`
	// Tenant names whose quota a record uses: header:NAME or field:PATH.
	Tenant string `yaml:"tenant" jsonschema:"pattern=^(header|field):.+$"`
	// Timeout bounds one request, or all statements for a row of a table (10s there by default). A kind of several steps makes several requests.
	Timeout time.Duration `yaml:"timeout"`
	// Breaker decides whose fault a failure is.
	Breaker Breaker `yaml:"breaker"`

	// Section holds all keys of the sink, for its kind's own Config.
	Section Section `yaml:"-"`

	asks []sinks.Field // of its records, by its kind
}

// Limits protect the destination.
type Limits struct {
	// Rate is how many requests all replicas may make together, such as 25/s, 100/m or 5000/h; none by default.
	Rate Rate `yaml:"rate"`
	// Burst is how many requests may go at once after a pause, and wait for new connections at once; one second of the rate by default. Without a rate it means nothing, and is refused.
	Burst int `yaml:"burst" jsonschema:"minimum=1"`
	// Concurrency is how many attempts a worker has in flight at most.
	Concurrency int `yaml:"concurrency" jsonschema:"minimum=1,maximum=10000"`
	// Account names a limit that several sinks share; all of them write the same rate and burst. Without a rate, here or of an endpoint, it means nothing, and is refused.
	Account string `yaml:"account"`
	// Endpoints limits single endpoints besides, by the names that the kind gives them.
	Endpoints map[string]EndpointLimits `yaml:"endpoints"`
	// Daily obeys a quota that the vendor counts per day.
	Daily Daily `yaml:"daily"`
	// PerTenant limits each tenant besides; tenant says whose a record is.
	PerTenant TenantLimits `yaml:"per_tenant"`
	// MaxHold is the longest wait that a vendor may ask for.
	MaxHold time.Duration `yaml:"max_hold"`
}

// EndpointLimits are what may be sent to one endpoint of a vendor.
type EndpointLimits struct {
	// Rate is how many requests all replicas may make together, such as 20/s.
	Rate Rate `yaml:"rate" jsonschema:"required"`
	// Burst is how many requests may go at once after a pause; one second of the rate by default.
	Burst int `yaml:"burst" jsonschema:"minimum=1"`
}

// Daily is a quota that a vendor counts per day for all that its customer runs.
type Daily struct {
	// Header is the field of answers that tells what is used, as used/max: Sforce-Limit-Info.
	Header string `yaml:"header"`
	// Reserve is the percentage that is left to others. Sending
	// slows down 15 points before, and all but stops there.
	Reserve int `yaml:"reserve" jsonschema:"minimum=1,maximum=99"`
}

// TenantLimits are what one tenant may use of a sink.
type TenantLimits struct {
	// Rate is how many requests all replicas may make together, such as 5/s; none by default.
	Rate Rate `yaml:"rate"`
	// Burst is how many requests may go at once after a pause; one second of the rate by default.
	Burst int `yaml:"burst" jsonschema:"minimum=1"`
	// Concurrency is how many attempts of one tenant a worker has in flight at most; half of the sink's by default.
	Concurrency int `yaml:"concurrency" jsonschema:"minimum=1,maximum=10000"`
}

// Retry says how records wait for another attempt.
type Retry struct {
	// Tiers are the delays, rising. Topics are named
	// after them. [] sends every failure to the dead-letter topic.
	Tiers []time.Duration `yaml:"tiers" jsonschema:"maxItems=16"`
	// MaxAge ends the retries of a record that is throttled while others pass. It is longer than all tiers together.
	MaxAge time.Duration `yaml:"max_age"`
}

// DLQ says how dead letters are kept and sent again.
type DLQ struct {
	// MaxRedrives is how often a letter may be sent again, to stop loops.
	MaxRedrives int `yaml:"max_redrives" jsonschema:"minimum=0"`
	// CompatHeaders writes the error headers of other tools too: connect, spring, streams; none by default.
	CompatHeaders []record.Compat `yaml:"compat_headers"`
	// Retention is how old dead letters get before the topic drops them, such as 2160h; 0, the default, keeps them for ever.
	Retention time.Duration `yaml:"retention"`
}

// Breaker decides whose fault a failure is.
type Breaker struct {
	// Enabled, if false, makes every failure an attempt.
	Enabled bool `yaml:"enabled"`
	// MaxSuspect ends the retries of a record whose destination answers nobody.
	MaxSuspect time.Duration `yaml:"max_suspect"`
	// DeadLetterBudget is how many records a burst may refuse before the sink is held.
	DeadLetterBudget int `yaml:"dead_letter_budget" jsonschema:"minimum=1"`
}

// Words of the settings above.
const (
	OrderKey  = "key"
	OrderNone = "none"

	TombstoneDeadLetter = "dead_letter"
	TombstoneDelete     = "delete"

	Continue = "continue"
	Park     = "park"

	StaleSend = "send"
	StaleSkip = "skip"

	StartEarliest = "earliest"
	StartLatest   = "latest"
)

func defaultSink() Sink {
	return Sink{
		Ordering:     OrderKey,
		OnTombstone:  TombstoneDeadLetter,
		Limits:       Limits{Concurrency: 8, MaxHold: 24 * time.Hour},
		Retry:        Retry{MaxAge: 7 * 24 * time.Hour},
		DLQ:          DLQ{MaxRedrives: 3},
		OnDeadLetter: Continue,
		Start:        StartEarliest,
		Timeout:      30 * time.Second,
		Breaker:      Breaker{Enabled: true, MaxSuspect: 24 * time.Hour, DeadLetterBudget: 1000},
	}
}

// defaultReserve is a percentage.
const defaultReserve = 5

func defaultTiers() []time.Duration {
	return []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute}
}

// fill sets what depends on other keys, or would be merged with a default.
func (s *Sink) fill() {
	if s.Retry.Tiers == nil {
		s.Retry.Tiers = defaultTiers()
	}
	if s.Limits.Burst == 0 {
		s.Limits.Burst = s.Limits.Rate.burst()
	}
	for name, e := range s.Limits.Endpoints {
		if e.Burst == 0 {
			e.Burst = e.Rate.burst()
			s.Limits.Endpoints[name] = e
		}
	}
	if s.Limits.Daily.Header != "" && s.Limits.Daily.Reserve == 0 {
		s.Limits.Daily.Reserve = defaultReserve
	}
	if s.Limits.PerTenant.Burst == 0 {
		s.Limits.PerTenant.Burst = s.Limits.PerTenant.Rate.burst()
	}
}
