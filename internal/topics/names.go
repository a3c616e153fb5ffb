// Package topics names the topics that holdfast owns and makes them to match
// the topics they belong to.
//
// The class comes first in a name because Kafka's ACLs match by prefix; dots
// separate, dashes stand within words.
package topics

import (
	"strconv"
	"time"
)

// Internal topics.
const (
	Dispositions = "holdfast.dispositions" // what became of dead letters, keyed by coordinates
	Receipts     = "holdfast.receipts"     // what vendors answered, keyed by sink and event id
	Sinks        = "holdfast.sinks"        // how sinks stand, keyed by sink and worker
	Quota        = "holdfast.quota"        // limits shared by replicas
	Jobs         = "holdfast.jobs"         // redrives asked for by people
	Audit        = "holdfast.audit"        // who did what and why
)

// Retry names a tier of a sink: retry.stripe-invoices.1m.
func Retry(sink string, tier time.Duration) string { return "retry." + sink + "." + Tier(tier) }

// Redrive names the input for dead letters that are sent again, of a sink or a processor.
func Redrive(name string) string { return "redrive." + name }

// DeadLetters names the dead-letter topic of a sink or a processor.
func DeadLetters(name string) string { return "dlq." + name }

// Group names the consumer group of a sink or a processor.
func Group(name string) string { return "holdfast." + name }

// Subject names the schema of a topic's values in the registry.
func Subject(topic string) string { return topic + "-value" }

// Tier spells a delay in the largest unit that divides it: 1m, 90s, 250ms, 2h.
func Tier(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d >= u.unit && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return d.String()
}
