package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"holdfast.internal/internal/copartition"
)

// leaveTimeout bounds the goodbye to one group. The drain before it takes 21 s
// at most, and a stop has 25.
const leaveTimeout = 2 * time.Second

// leave ends the static membership in a group whose part of the process has
// stopped, so that the others take over at once and not after its session. It
// does nothing unless --leave was given together with a name.
func (a *app) leave(ctx context.Context, group string) {
	if a.leaver == "" || group == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := copartition.RemoveStatic(ctx, a.conn.admin, group, a.leaver); err != nil {
		a.log.Warn("membership kept: its share waits for the end of the session", zap.String("group", group), zap.Error(err))
		return
	}
	a.log.Info("left for good", zap.String("group", group), zap.String("instance", a.leaver))
}
