package dlq

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// Resume tells the workers of the sink that it may go on: that its mapping,
// held by the dead-letter budget, is free, and that refused credentials are
// tried again; if throttled is set, also that what a vendor asked for is over.
// They hear it within a second; where none runs nobody does, and nothing is
// held but by the vendor. That somebody said so is written down with it.
func (b *Box) Resume(ctx context.Context, job Job, throttled bool) error {
	if err := validReason(job.Reason); err != nil {
		return err
	}
	found, err := b.admin().ListTopics(ctx, topics.Dispositions)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	if !found.Has(topics.Dispositions) {
		return fmt.Errorf("%s: %w; holdfast topic apply makes it", topics.Dispositions, scan.ErrNoTopic)
	}
	now := b.now().UTC()
	word, err := disposition.Resume{By: job.By, Reason: job.Reason, At: now, Throttled: throttled}.Record(b.Target.Name)
	if err != nil {
		return err
	}
	said := []*kgo.Record{word}
	if b.audited(ctx) {
		line, err := auditLine{At: now, By: job.By, Act: "resumed", Reason: job.Reason, Job: job.ID, Topic: b.Target.Letters()}.record()
		if err != nil {
			return err
		}
		said = append(said, line)
	}
	client, err := kgo.NewClient(append(slices.Clip(b.Scanner.Connect), kgo.RecordPartitioner(disposition.Partitioner()), kgo.RecordDeliveryTimeout(endTimeout))...)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	defer client.CloseAllowingRebalance()
	if err := client.ProduceSync(ctx, said...).FirstErr(); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return nil
}
