// Package processing runs processors: it reads a processor's input and its
// redrive topic, opens each value, calls the processor, and writes what it
// made, the dead letters and the input's offsets in one Kafka transaction.
//
// Every partition has a lane of its own, in which its records are processed in
// order. What can wait (a schema that the registry does not know yet, the
// registry itself, a transient error) waits in its lane: the records behind it
// in that partition wait with it, because a transaction commits a contiguous
// prefix, and every other partition goes on. For an unknown schema that is at
// most 30 s, once per schema id; after that its records are dead letters at once.
//
// A transaction takes whatever the lanes have ready. When one does not end as
// it should, all that is held in memory is forgotten and read again from the
// committed offsets; nothing of it was visible to read-committed readers.
package processing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/processors"
)

// Config is one processor.
type Config struct {
	Name    string
	In, Out string // topics
	// Instance is the static member name and the end of the transactional id.
	// A worker killed and started again under its name goes on at once; without
	// a name ("") what it had open is invisible, and hides what was written
	// behind it, until the transaction times out (10 s).
	Instance string
	// SkipTombstones passes over null values, which are dead letters otherwise.
	SkipTombstones bool
}

// Serde opens inputs and encodes outputs. A TransientError or an
// UnavailableError asks to wait and call again; any other error is final.
type Serde interface {
	Open(ctx context.Context, topic string, wire []byte, headers []holdfast.Header) (holdfast.Value, error)
	Encode(ctx context.Context, topic string, v any) ([]byte, error)
}

// Deps is what a runtime needs from outside.
type Deps struct {
	Processor processors.Processor
	Serde     Serde
	Kafka     []kgo.Opt // brokers, credentials and bounds, as of kafka.Options
	Log       *zap.Logger
	Metrics   *Metrics
}

const (
	// pollRecords bounds what one poll takes, and so one transaction.
	pollRecords = 5000
	// gather is how long a transaction waits for lanes that are still busy.
	gather = 50 * time.Millisecond

	transactionTimeout = 10 * time.Second
	// endGrace is how long a transaction may go on once a stop was asked for.
	endGrace        = 10 * time.Second
	processDeadline = 5 * time.Second

	waitFirst = time.Second
	waitMost  = 30 * time.Second

	// fencedTwice: somebody else who is fenced within this time of us runs
	// under our name, and fencing each other for ever helps nobody.
	fencedTwice = time.Minute
	// maxStuck is how many calls of the processor may be left behind, each
	// with a goroutine that never ends, before the process has to start anew.
	maxStuck = 16
)

// Errors that end a runtime.
var (
	// ErrFenced: another process runs under the same instance name.
	ErrFenced = errors.New("fenced twice within a minute: another process runs under this instance name")
	// ErrStuck: too many calls of the processor never returned.
	ErrStuck = errors.New("too many calls of the processor did not return")
)

// Runtime is one processor at work.
type Runtime struct {
	cfg      Config
	deps     Deps
	log      *zap.Logger
	metrics  counters
	member   string // the end of the transactional id
	limits   limits
	stuck    stuck
	oversize oversize
	standing standing

	ready chan struct{}
	once  sync.Once
}

// New makes a runtime; [Runtime.Run] connects and works. random ends the
// transactional id of a runtime that has no instance name.
func New(cfg Config, deps Deps, random string) (*Runtime, error) {
	r := &Runtime{
		cfg: cfg, deps: deps, log: deps.Log.With(zap.String("processor", cfg.Name)),
		metrics: deps.Metrics.of(cfg), member: cfg.Instance, ready: make(chan struct{}),
	}
	r.oversize = oversize{log: r.log, refused: map[string]struct{}{}}
	if r.member == "" {
		r.member = random
	}
	if err := kgo.ValidateOpts(r.options(nil)...); err != nil {
		return nil, fmt.Errorf("processor %s: kafka client: %w", cfg.Name, err)
	}
	return r, nil
}

// Ready is closed once the runtime has its first partitions.
func (r *Runtime) Ready() <-chan struct{} { return r.ready }

// Run processes until ctx ends. A client whose transaction was left in doubt
// is replaced by a new one, which ends that transaction and reads again from
// the committed offsets. Errors are [ErrFenced] and [ErrStuck].
func (r *Runtime) Run(ctx context.Context) error {
	var lastFence time.Time
	for wait := waitFirst; ; {
		began := time.Now()
		err := r.work(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to stop
		case errors.Is(err, ErrStuck):
			return fmt.Errorf("processor %s: %w", r.cfg.Name, err)
		case fenced(err) && r.cfg.Instance != "":
			if !lastFence.IsZero() && time.Since(lastFence) < fencedTwice {
				return fmt.Errorf("processor %s: %w: %w", r.cfg.Name, ErrFenced, err)
			}
			lastFence = time.Now()
		}
		if time.Since(began) > waitMost {
			wait = waitFirst
		}
		r.log.Warn("reading again from the committed offsets", zap.Duration("in", wait), zap.Error(err))
		if !sleep(ctx, wait) {
			return nil
		}
		wait = min(2*wait, waitMost)
	}
}

// sleep waits for d; false: ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// lasting is a context that outlives ctx by grace: what was begun is ended
// even when a stop is asked for meanwhile.
func lasting(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		sleep(longer, grace)
		cancel()
	})
	return longer, func() {
		stop()
		cancel()
	}
}
