package disposition

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// FollowResumes calls each for every [Resume] that is written from now on,
// until ctx ends: what was said before was said to somebody else. Brokers that
// are out of reach are waited for; refused is told where they may not be read.
func FollowResumes(ctx context.Context, connect []kgo.Opt, each func(sink string, r Resume), refused func(error)) error {
	return scan.Follow(ctx, connect, topics.Dispositions, func(record *kgo.Record) {
		if sink, r, ok := ReadResume(record); ok {
			each(sink, r)
		}
	}, refused)
}
