package disposition

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/topics"
)

// hearWithin bounds how long a broker sits on a request for what people say.
const hearWithin = 500 * time.Millisecond

// FollowResumes calls each for every [Resume] that is written from now on,
// until ctx ends: what was said before was said to somebody else. Brokers that
// are out of reach are waited for.
func FollowResumes(ctx context.Context, connect []kgo.Opt, each func(sink string, r Resume)) error {
	client, err := kgo.NewClient(append(slices.Clip(connect),
		kgo.ConsumeTopics(topics.Dispositions),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(hearWithin),
	)...)
	if err != nil {
		return fmt.Errorf("follow %s: %w", topics.Dispositions, err)
	}
	defer client.CloseAllowingRebalance()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		for it := fetches.RecordIter(); !it.Done(); {
			if sink, r, ok := ReadResume(it.Next()); ok {
				each(sink, r)
			}
		}
	}
}
