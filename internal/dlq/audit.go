package dlq

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/topics"
)

// auditLine is what holdfast.audit keeps of an act: one line per transaction
// of a redrive, or per letter revealed.
type auditLine struct {
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Act       string    `json:"act"` // redriven, discarded, skipped, acknowledged, reveal, resumed
	Reason    string    `json:"reason,omitempty"`
	Job       string    `json:"job,omitempty"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    *int64    `json:"offset,omitempty"` // of the one letter revealed
	Letters   int       `json:"letters"`
}

func (l auditLine) record() (*kgo.Record, error) {
	value, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode audit: %w", err)
	}
	return &kgo.Record{Topic: topics.Audit, Key: []byte(l.Topic), Value: value}, nil
}

// audited reports whether the cluster keeps an audit topic.
func (b *Box) audited(ctx context.Context) bool {
	found, err := b.admin().ListTopics(ctx, topics.Audit)
	return err == nil && found.Has(topics.Audit)
}

// auditReveal writes down that somebody looks at a letter unmasked.
func (b *Box) auditReveal(ctx context.Context, at holdfast.Coordinates, by string) error {
	if !b.audited(ctx) {
		return nil
	}
	line, err := auditLine{
		At: b.now().UTC(), By: by, Act: "reveal", Topic: at.Topic, Partition: at.Partition, Offset: &at.Offset, Letters: 1,
	}.record()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(slices.Clip(b.Scanner.Connect), kgo.RecordDeliveryTimeout(endTimeout))...)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer client.CloseAllowingRebalance()
	if err := client.ProduceSync(ctx, line).FirstErr(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}
