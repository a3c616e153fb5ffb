// Package dlq reads dead-letter topics, tells what became of each letter, and
// sends letters again.
//
// A dead letter is never moved nor deleted here: what became of it is a
// [Disposition] on a compacted topic. A redrive writes its records and their
// dispositions in one Kafka transaction, so that it may be killed anywhere and
// run again; how it ended is read back from the topics.
package dlq

import (
	"strings"
	"time"

	"holdfast.internal/internal/topics"
)

// Target is the sink or processor whose dead letters these are.
type Target struct {
	Name string
	// Kind is the sink's kind (stripe, http, table), "" for a processor.
	Kind string
	// Source is the topic that it reads.
	Source string
	// Tiers are a sink's retry delays; a processor has none.
	Tiers     []time.Duration
	Processor bool
	// FromLatest says that it began at the end of its source: what lay there
	// before is none of its business.
	FromLatest bool
	// Park says that what follows a dead letter of its key waits behind it.
	Park bool
}

// Letters names its dead-letter topic.
func (t Target) Letters() string { return topics.DeadLetters(t.Name) }

// Redrive names the topic that brings dead letters back.
func (t Target) Redrive() string { return topics.Redrive(t.Name) }

// Group names its consumer group.
func (t Target) Group() string { return topics.Group(t.Name) }

// Retry names its tiers, shortest delay first.
func (t Target) Retry() []string {
	out := make([]string, len(t.Tiers))
	for i, d := range t.Tiers {
		out[i] = topics.Retry(t.Name, d)
	}
	return out
}

// TargetOf returns the name that a dead-letter topic belongs to; ok is false
// for any other topic.
func TargetOf(topic string) (name string, ok bool) {
	name, ok = strings.CutPrefix(topic, topics.DeadLetters(""))
	return name, ok && name != ""
}
