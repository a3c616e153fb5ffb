package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// askAgain is the time between two questions to a coordinator.
	askAgain = 50 * time.Millisecond
	// findTimeout bounds the search for one: franz-go pauses for seconds
	// between its tries, and one is enough to forget the old coordinator.
	findTimeout = 500 * time.Millisecond
)

// ErrNoCoordinator reports that nobody coordinates a group, as far as the
// brokers say.
var ErrNoCoordinator = errors.New("the group's coordinator does not answer")

// CommittedOffsets returns what a group has committed; nothing for a group that
// does not exist. It asks again while nobody coordinates the group: a fresh
// cluster makes the topic for it when it is first asked, and a broker that died
// is the coordinator until another takes over. ctx bounds that; the error at its
// deadline is [ErrNoCoordinator].
func CommittedOffsets(ctx context.Context, client *kgo.Client, group string) (kadm.OffsetResponses, error) {
	admin := kadm.NewClient(client)
	for {
		done, err := admin.FetchOffsets(ctx, group)
		said, answered := errors.AsType[*kerr.Error](err)
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			return nil, nil
		case err == nil, answered && !said.Retriable:
			return done, err
		case !answered:
			findCoordinator(ctx, client, group)
		}
		timer := time.NewTimer(askAgain)
		select {
		case <-ctx.Done():
			timer.Stop()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("%w: %w", ErrNoCoordinator, err)
			}
			return nil, err
		case <-timer.C:
		}
	}
}

// findCoordinator has the client look for the coordinator of a group again if
// the one that it remembers cannot be reached. A fetch of offsets dials that
// one for ever (franz-go 1.22); what is sent to a coordinator as a member of
// the group does not. This is the heartbeat of nobody, and changes nothing.
func findCoordinator(ctx context.Context, client *kgo.Client, group string) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group = group
	_, _ = beat.RequestWith(ctx, client) // refused, or the next fetch says what is wrong
}
