package main

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/delivery"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/sinkstate"
	"holdfast.internal/internal/topics"
)

// ask asks the brokers for what nothing may start without: whether the topics
// are as they should be and the sinks have their place, and what vendors have
// asked of workers before. It asks all of it at once: a worker that was killed
// is missed meanwhile.
func (a *app) ask(ctx context.Context, cfg *config.Config, sel selection) (map[string]sinkstate.Throttle, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asked sync.WaitGroup
	var topicsErr, throttlesErr error
	if sel.role != "outbox" {
		asked.Go(func() {
			wantSinks, wantProcessors := planned(cfg)
			if topicsErr = topics.Check(ctx, a.conn.admin, wantSinks, wantProcessors); topicsErr != nil {
				cancel() // the rest is about topics that may not be there
			}
		})
	}
	var throttles map[string]sinkstate.Throttle
	places := make([]error, len(cfg.Sinks))
	for i, s := range cfg.Sinks {
		if sel.sink(s.Name) {
			asked.Go(func() { places[i] = a.checkPlace(ctx, cfg, s, sel) })
		}
	}
	asked.Go(func() {
		throttles, throttlesErr = sinkstate.Throttles(ctx, a.conn.admin, scan.Scanner{Connect: a.conn.opts}, time.Now())
	})
	asked.Wait()
	if err := cmp.Or(topicsErr, errors.Join(places...)); err != nil {
		return nil, err
	}
	if throttlesErr != nil {
		a.log.Warn("what vendors have asked of workers before is not known", zap.Error(throttlesErr))
	}
	return throttles, nil
}

func (a *app) checkPlace(ctx context.Context, cfg *config.Config, s config.Sink, sel selection) error {
	settings, err := deliveryConfig(cfg, s, sel)
	if err != nil {
		return err
	}
	return delivery.CheckPlace(ctx, a.conn.client, settings)
}
