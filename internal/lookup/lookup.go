// Package lookup answers three questions of people on call: where is this record
// now (find), how far behind is everything (lag), and how do the sinks stand. It
// reads topics and committed offsets and nothing else, so it answers with every
// worker down.
package lookup

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/scan"
)

// Lookup looks into the topics of the configured sinks and processors.
type Lookup struct {
	Targets []dlq.Target
	Client  *kgo.Client
	Scanner scan.Scanner
	// Now is time.Now unless a test says otherwise.
	Now func() time.Time
}

func (l *Lookup) admin() *kadm.Client { return kadm.NewClient(l.Client) }

func (l *Lookup) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// settledFunc says what a group has settled of a partition.
type settledFunc = func(topic string, partition int32) offsets.Settled

// group is what Kafka knows of a consumer group.
type group struct {
	settled settledFunc
	busy    bool // somebody works
}

func (l *Lookup) group(ctx context.Context, name string) (group, error) {
	settled, err := dlq.Settled(ctx, l.Client, name)
	if err != nil {
		return group{}, err
	}
	return group{settled: settled, busy: Busy(ctx, l.admin(), name)}, nil
}

// own names the topics that belong to a target alone.
func own(t dlq.Target) []string {
	return append(t.Retry(), t.Redrive(), t.Letters())
}
