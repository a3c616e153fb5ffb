package scan

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// hearWithin bounds how long a broker sits on a request for what is written.
const hearWithin = 500 * time.Millisecond

// refusedAgain is how often it is said that the brokers refuse to tell.
const refusedAgain = time.Minute

// Follow calls each for every record that is written to a topic from now on,
// until ctx ends. Brokers that are out of reach, and a topic that is not there
// yet, are waited for. What does not pass by itself, such as a missing right to
// read, goes to refused, once a minute.
func Follow(ctx context.Context, connect []kgo.Opt, topic string, each func(*kgo.Record), refused func(error)) error {
	client, err := kgo.NewClient(append(slices.Clip(connect),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(hearWithin),
	)...)
	if err != nil {
		return fmt.Errorf("follow %s: %w", topic, err)
	}
	defer client.CloseAllowingRebalance()
	var said time.Time
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachRecord(each)
		if err := fetches.Err(); err != nil && time.Since(said) >= refusedAgain {
			said = time.Now()
			refused(fmt.Errorf("follow %s: %w", topic, err))
		}
	}
}
