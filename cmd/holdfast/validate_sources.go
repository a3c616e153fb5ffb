package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

// What records have to outlast: an outage over a long week-end, and the time
// in which people notice dead letters.
const (
	outageKept  = 72 * time.Hour
	lettersKept = 14 * 24 * time.Hour
)

// sources may delete what a sink has not read, or hold what it cannot read.
func (o *online) sources(ctx context.Context) error {
	listed, err := o.conn.admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var there []string
	for _, s := range o.cfg.Sinks {
		if listed.Has(s.In) && !slices.Contains(there, s.In) {
			there = append(there, s.In)
		}
	}
	if len(there) == 0 {
		return nil
	}
	settings, err := topics.Settings(ctx, o.conn.admin, there...)
	if err != nil {
		return err
	}
	for i, s := range o.cfg.Sinks {
		path := fmt.Sprintf("sinks[%d]", i)
		if d := s.DLQ.Retention; d > 0 && d < lettersKept {
			o.tell(path+".dlq.retention", true, "dead letters are deleted after %s; people may need longer to see them: %s at least", d, lettersKept)
		}
		o.source(path+".in", s.In, s.Retry.Tiers, settings[s.In])
	}
	return nil
}

func (o *online) source(path, topic string, tiers []time.Duration, settings map[string]string) {
	if settings == nil {
		return
	}
	need := outageKept
	for _, d := range tiers {
		need += 2 * d
	}
	if ms, err := strconv.ParseInt(settings["retention.ms"], 10, 64); err == nil && ms >= 0 && time.Duration(ms)*time.Millisecond < need {
		o.tell(path, true, "%s deletes records after %s (retention.ms); while the destination is away they wait there: %s at least, or they are lost", topic, time.Duration(ms)*time.Millisecond, need)
	}
	if size, err := strconv.ParseInt(settings["retention.bytes"], 10, 64); err == nil && size >= 0 {
		o.tell(path, true, "%s deletes records beyond %d bytes (retention.bytes), also those that were not delivered", topic, size)
	}
	if size, err := strconv.ParseInt(settings["max.message.bytes"], 10, 64); err == nil && size > kafka.MaxBatch {
		o.tell(path, true, "%s takes batches of %d bytes (max.message.bytes); what is larger than %d is not read, and becomes a dead letter without its value", topic, size, kafka.MaxBatch)
	}
}
