package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/kafka"
)

// Beyond these, an operator should know.
const (
	longDelay   = 5 * time.Second  // Kafka's own is 3 s
	longSession = 15 * time.Second // 45 s
	shortKept   = 7 * 24 * time.Hour
)

// brokers bound what the members of a group may ask for.
func (o *online) brokers(ctx context.Context) error {
	list, err := o.conn.admin.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("list brokers: %w", err)
	}
	described, err := o.conn.admin.DescribeBrokerConfigs(ctx, list.NodeIDs()...)
	if err != nil {
		return fmt.Errorf("describe brokers: %w", err)
	}
	for _, d := range described {
		if d.Err != nil {
			o.tell("kafka", true, "the settings of the brokers cannot be read: %v", d.Err)
			continue
		}
		values := brokerSettings{}
		for _, entry := range d.Configs {
			values[entry.Key] = entry.MaybeValue()
		}
		o.groups(values)
		if o.cfg.Kafka.GroupProtocol == config.ConsumerProtocol {
			o.consumerProtocol(values)
		}
	}
	return nil
}

// brokerSettings are those of one broker, by key.
type brokerSettings map[string]string

// time reads a duration; false where the broker does not know the key.
func (s brokerSettings) time(key string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseInt(s[key], 10, 64)
	return time.Duration(n) * unit, err == nil
}

func (s brokerSettings) lists(key, word string) bool {
	return slices.ContainsFunc(strings.Split(s[key], ","), func(w string) bool { return strings.EqualFold(strings.TrimSpace(w), word) })
}

// groups are all groups of the classic protocol; processors always have one.
func (o *online) groups(values brokerSettings) {
	const least, most = "group.min.session.timeout.ms", "group.max.session.timeout.ms"
	if d, ok := values.time(least, time.Millisecond); ok && d > kafka.Session {
		o.tell("kafka", false, "the brokers refuse sessions shorter than %s (%s), and workers ask for %s: they cannot join", d, least, kafka.Session)
	}
	if d, ok := values.time(most, time.Millisecond); ok && d < kafka.Session {
		o.tell("kafka", false, "the brokers refuse sessions longer than %s (%s), and workers ask for %s: they cannot join", d, most, kafka.Session)
	}
	const delay, kept = "group.initial.rebalance.delay.ms", "offsets.retention.minutes"
	if d, ok := values.time(delay, time.Millisecond); ok && d > longDelay {
		o.tell("kafka", true, "the first worker of a group waits %s before it starts (%s)", d, delay)
	}
	if d, ok := values.time(kept, time.Minute); ok && d < shortKept {
		o.tell("kafka", true, "a sink that stands still for %s loses its place (%s), and needs run --from", d, kept)
	}
}

// consumerProtocol is KIP-848, in which the broker alone says how long a
// session is.
func (o *online) consumerProtocol(values brokerSettings) {
	const at = "kafka.group_protocol"
	const protocols, assignors, session = "group.coordinator.rebalance.protocols", "group.consumer.assignors", "group.consumer.session.timeout.ms"
	if values[protocols] != "" && !values.lists(protocols, config.ConsumerProtocol) {
		o.tell(at, false, "the brokers speak %s (%s): sinks cannot join", values[protocols], protocols)
	}
	if text := values[assignors]; text != "" && !values.lists(assignors, "range") && !strings.Contains(text, "RangeAssignor") {
		o.tell(at, false, "the brokers have no range assignor (%s is %s): it alone keeps the partitions of a sink together", assignors, text)
	}
	if d, ok := values.time(session, time.Millisecond); ok && d > longSession {
		o.tell(at, true, "the share of a killed worker stands still for %s (%s), also under a static name", d, session)
	}
}
