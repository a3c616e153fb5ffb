package sinkstate

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal/internal/topics"
)

// How often a worker looks at its state, and says what has changed; and what has
// not. What a vendor asks for is said at once: others send meanwhile.
const (
	lookEvery    = 100 * time.Millisecond
	sayEvery     = time.Second
	repeatEvery  = 15 * time.Second // while something holds the sink
	plainEvery   = time.Hour
	writeTimeout = 5 * time.Second
	goodbye      = time.Second
)

// Report writes what stand says, until ctx ends: within a second of a change, a
// tenth of one if a vendor asks for it, and from time to time. Nothing waits for
// it: what cannot be written is written later. At the end it takes back what it
// said, but for a [Throttle].
func Report(ctx context.Context, client *kgo.Client, log *zap.Logger, stand func() State) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	r := reporter{client: client, log: log}
	for {
		r.look(ctx, stand())
		select {
		case <-ctx.Done():
			r.leave(context.WithoutCancel(ctx), stand())
			return
		case <-tick.C:
		}
	}
}

// reporter remembers what was said last.
type reporter struct {
	client *kgo.Client
	log    *zap.Logger
	said   State
	silent bool // what was to be said last could not be written
}

func (r *reporter) look(ctx context.Context, now State) {
	every := plainEvery
	if !now.Plain() {
		every = repeatEvery
	}
	if same(now, r.said) && now.At.Sub(r.said.At) < every {
		return
	}
	if now.At.Sub(r.said.At) < sayEvery && now.throttle(now.At) == r.said.throttle(now.At) {
		return
	}
	err := r.write(ctx, now)
	switch {
	case err == nil:
		r.said, r.silent = now, false
	case ctx.Err() == nil && !r.silent:
		r.silent = true
		r.log.Warn("how the sink stands could not be told; lag does not show it", zap.String("sink", now.Sink), zap.Error(err))
	}
}

// leave takes back what was said: whoever comes next stands otherwise, unless it
// is a vendor that both have to wait for. Where that fails, it is not believed
// for long.
func (r *reporter) leave(ctx context.Context, now State) {
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	if now.throttle(now.At) != (Throttle{}) {
		_ = r.write(ctx, now)
		return
	}
	if r.said.Sink == "" {
		return
	}
	_ = r.client.ProduceSync(ctx, &kgo.Record{Topic: topics.Sinks, Key: r.said.key()}).FirstErr()
}

func (r *reporter) write(ctx context.Context, s State) error {
	record, err := s.Record()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return r.client.ProduceSync(ctx, record).FirstErr()
}
