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
	a.mu.Lock()
	name := a.leaver
	a.mu.Unlock()
	if name == "" || group == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := copartition.RemoveStatic(ctx, a.conn.admin, group, name); err != nil {
		a.log.Warn("membership kept: its share waits for the end of the session", zap.String("group", group), zap.Error(err))
		return
	}
	a.log.Info("left for good", zap.String("group", group), zap.String("instance", name))
}

// stay keeps the memberships of a process that fails: it is started again, or
// another has its name already, who would be thrown out.
func (a *app) stay() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaver = ""
}
