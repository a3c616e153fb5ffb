package topics

import (
	"strconv"
	"time"

	"holdfast.internal/internal/record"
)

// DefaultPartitions is the partition count of a source topic that is made: it
// divides well among 2, 3, 4, 6 and 12 workers.
const DefaultPartitions = 12

// Sink is what the topics of a sink follow from.
type Sink struct {
	Name  string
	In    string
	Tiers []time.Duration
	// Retention of dead letters; 0 keeps them for ever.
	Retention time.Duration
}

// Processor is what the topics of a processor follow from.
type Processor struct {
	Name    string
	In, Out string
}

// wanted is a topic as it should be.
type wanted struct {
	name   string
	follow string // the topic whose partition count and message size it has; "" for its own
	count  int32
	config map[string]string
	reason string
}

// Keys and values of topic configurations.
const (
	keyMaxMessage = "max.message.bytes"
	keyPolicy     = "cleanup.policy"
	keyRetention  = "retention.ms"
	keySegment    = "segment.ms"
	keyTimestamp  = "message.timestamp.type"

	forever    = "-1"
	createTime = "CreateTime"
)

// defaultMaxMessage is Kafka's max.message.bytes where nobody set it.
const defaultMaxMessage = 1048588

// receiptsKept is how long what vendors answered can be looked up.
const receiptsKept = 30 * 24 * time.Hour

// sinksKept is far longer than anybody believes what a worker said.
const sinksKept = 24 * time.Hour

// quotaKept is far more than any share lives.
const quotaKept = time.Hour

// desired lists sources first, so that what follows them knows their count.
func desired(sinks []Sink, processors []Processor, partitions int32) []wanted {
	var all []wanted
	seen := map[string]bool{}
	add := func(w wanted) {
		if !seen[w.name] {
			seen[w.name] = true
			all = append(all, w)
		}
	}
	for _, p := range processors {
		add(wanted{name: p.In, count: partitions, reason: "source of processor " + p.Name})
		add(wanted{name: p.Out, count: partitions, reason: "output of processor " + p.Name})
	}
	for _, s := range sinks {
		add(wanted{name: s.In, count: partitions, reason: "source of sink " + s.Name})
	}
	for _, p := range processors {
		add(wanted{name: Redrive(p.Name), follow: p.In, config: kept(0), reason: "redrive of processor " + p.Name})
		add(wanted{name: DeadLetters(p.Name), follow: p.In, config: kept(0), reason: "dead letters of processor " + p.Name})
	}
	for _, s := range sinks {
		for _, tier := range s.Tiers {
			add(wanted{name: Retry(s.Name, tier), follow: s.In, config: kept(0), reason: "retry tier of sink " + s.Name})
		}
		add(wanted{name: Redrive(s.Name), follow: s.In, config: kept(0), reason: "redrive of sink " + s.Name})
		add(wanted{name: DeadLetters(s.Name), follow: s.In, config: kept(s.Retention), reason: "dead letters of sink " + s.Name})
	}
	for _, w := range internal() {
		add(w)
	}
	return all
}

// internal lists holdfast's own state.
func internal() []wanted {
	compacted := map[string]string{keyPolicy: "compact", keyTimestamp: createTime}
	return []wanted{
		{name: Audit, count: 1, config: map[string]string{keyPolicy: "delete", keyRetention: forever, keyTimestamp: createTime}, reason: "who did what and why"},
		{name: Dispositions, count: 1, config: compacted, reason: "what became of dead letters"},
		// Not compacted: nobody reads what is older than a few seconds.
		{name: Quota, count: 1, config: map[string]string{
			keyPolicy: "delete", keyRetention: millis(quotaKept), keySegment: millis(quotaKept), keyTimestamp: createTime,
		}, reason: "limits shared by replicas"},
		{name: Receipts, count: DefaultPartitions, config: map[string]string{
			keyPolicy: "compact,delete", keyRetention: millis(receiptsKept), keyTimestamp: createTime,
		}, reason: "what vendors answered"},
		// Told once an hour at least, and while a sink is held every few seconds.
		{name: Sinks, count: 1, config: map[string]string{
			keyPolicy: "compact,delete", keyRetention: millis(sinksKept), keySegment: millis(time.Hour), keyTimestamp: createTime,
		}, reason: "how sinks stand"},
	}
}

// kept is the configuration of what must neither be lost nor refused: tiers,
// redrive and dead letters. CreateTime, because retention counts from the
// record's timestamp, and ours is the time of writing.
func kept(retention time.Duration) map[string]string {
	c := map[string]string{
		keyPolicy:         "delete",
		keyRetention:      forever,
		"retention.bytes": forever,
		keyTimestamp:      createTime,
	}
	if retention > 0 {
		c[keyRetention] = millis(retention)
	}
	return c
}

// roomFor is the message size of what follows a source: its records, and the
// headers that holdfast adds.
func roomFor(source int) string { return strconv.Itoa(source + record.Headroom) }

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
