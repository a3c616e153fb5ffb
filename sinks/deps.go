package sinks

import (
	"time"

	"go.uber.org/zap"
)

// Deps is what code, not a user, gives to every sink. Each kind's New takes
// its own Config and a Deps.
type Deps struct {
	// Name is the sink's configured name, the one in topics and metrics.
	Name string
	// HTTP is the hardened client of [NewClient]; sinks that speak HTTP use no other.
	HTTP *Client
	// Log is the sink's logger; nil logs nothing.
	Log *zap.Logger
	// Concurrency is how many events are in flight at most; it sizes
	// connection pools. 0 means [DefaultConcurrency].
	Concurrency int
	// DailyHeader is the field of an answer that tells what of a daily quota is
	// used, as Salesforce's Sforce-Limit-Info does; "" for none.
	DailyHeader string
	// Schema returns the newest compiled-in Avro schema (JSON text) of a
	// record's full name. Only sinks that make tables need it.
	Schema func(fullName string) (string, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultConcurrency is used where Deps.Concurrency or a client's is not set.
const DefaultConcurrency = 32

// WithDefaults returns d with every optional field set.
func (d Deps) WithDefaults() Deps {
	if d.Log == nil {
		d.Log = zap.NewNop()
	}
	if d.Concurrency <= 0 {
		d.Concurrency = DefaultConcurrency
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}
