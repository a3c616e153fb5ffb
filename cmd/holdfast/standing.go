package main

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"holdfast.internal/internal/delivery"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/sinkstate"
)

// addStanding tells how the sinks of this process stand, heeds what vendors have
// asked other processes for, and listens to people who let a sink go on.
func (a *app) addStanding(workers map[string]*delivery.Worker) {
	if len(workers) == 0 {
		return
	}
	report := func(ctx context.Context) error {
		var wg sync.WaitGroup
		for _, w := range workers {
			wg.Go(func() { sinkstate.Report(ctx, a.conn.client, a.log, w.Standing) })
		}
		wg.Wait()
		return nil
	}
	complain := func(what string) func(error) {
		return func(err error) { a.log.Error(what, zap.Error(err)) }
	}
	listen := func(ctx context.Context) error {
		return disposition.FollowResumes(ctx, a.conn.opts, func(sink string, r disposition.Resume) {
			if w := workers[sink]; w != nil {
				w.Resume(r.By, r.Reason, r.Throttled)
			}
		}, complain("sink resume is not heard"))
	}
	heed := func(ctx context.Context) error {
		return sinkstate.Follow(ctx, a.conn.opts, func(s sinkstate.State, t sinkstate.Throttle) {
			if w := workers[s.Sink]; w != nil {
				w.Heed(t, s.Worker)
			}
		}, complain("what vendors ask other workers for is not heard"))
	}
	a.runners = append(a.runners, runner{name: "states of sinks", run: report}, runner{name: "throttles of sinks", run: heed},
		runner{name: "sink resume", run: listen})
}
