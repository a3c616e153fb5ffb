package dlq

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/kafka"
)

// Settled returns what a group has settled, by topic and partition: all before
// its committed offset, and what the commit's metadata tells beyond.
func Settled(ctx context.Context, client *kgo.Client, group string) (func(topic string, partition int32) offsets.Settled, error) {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	fetched, err := kafka.CommittedOffsets(ctx, client, group)
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
