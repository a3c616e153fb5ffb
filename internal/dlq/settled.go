package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"holdfast.internal/internal/delivery/offsets"
)

// Settled returns what a group has settled, by topic and partition: all before
// its committed offset, and what the commit's metadata tells beyond.
func Settled(ctx context.Context, admin *kadm.Client, group string) (func(topic string, partition int32) offsets.Settled, error) {
	fetched, err := fetchOffsets(ctx, admin, group)
	if err != nil {
		return nil, fmt.Errorf("offsets of %s: %w", group, err)
	}
	nothing, _ := offsets.ReadSettled(-1, "") // no metadata, no error
	return func(topic string, partition int32) offsets.Settled {
		o, ok := fetched.Lookup(topic, partition)
		if !ok || o.Err != nil {
			return nothing
		}
		settled, _ := offsets.ReadSettled(o.At, o.Metadata) // unreadable: the offset alone is known
		return settled
	}, nil
}

// fetchOffsets waits for a coordinator: a new cluster has none for a moment.
func fetchOffsets(ctx context.Context, admin *kadm.Client, group string) (kadm.OffsetResponses, error) {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	for {
		offsets, err := admin.FetchOffsets(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) { // nobody has worked yet
			return nil, nil
		}
		if !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			return offsets, err
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
	}
}
