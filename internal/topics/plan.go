package topics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Action says how a topic is changed.
type Action string

// The actions.
const (
	Create    Action = "create"
	Grow      Action = "grow"
	Configure Action = "configure"
)

// Change is one thing that differs between what is and what should be.
type Change struct {
	Topic  string `json:"topic"`
	Action Action `json:"action"`
	// Partitions is the count afterwards; 0 where it stays.
	Partitions int32             `json:"partitions,omitempty"`
	Config     map[string]string `json:"config,omitempty"`
	Reason     string            `json:"reason"`
}

// ErrUnequal reports a topic with more partitions than its source, which
// nothing but a person can mend: partitions cannot be taken away.
var ErrUnequal = errors.New("partition counts differ")

// cluster is what Plan compares with.
type cluster struct {
	counts  map[string]int32
	configs map[string]map[string]string
	// maxMessage is what a source gets that is made now.
	maxMessage int
}

// Plan compares the cluster with what sinks and processors need. Everything of
// a sink or a processor has the partition count of its source; a source that
// does not exist is made with the given count. Sources that exist are never
// changed. The changes are in the order in which they can be made.
func Plan(ctx context.Context, admin *kadm.Client, sinks []Sink, processors []Processor, partitions int32) ([]Change, error) {
	want := desired(sinks, processors, partitions)
	have, err := look(ctx, admin, want)
	if err != nil {
		return nil, err
	}
	var sizes, drift []Change
	var unequal []error
	for _, w := range want {
		config := have.wanted(w)
		count := w.count
		if w.follow != "" {
			count = have.counts[w.follow]
		}
		now, exists := have.counts[w.name]
		switch {
		case !exists:
			sizes = append(sizes, Change{Topic: w.name, Action: Create, Partitions: count, Config: config, Reason: w.reason})
			have.counts[w.name] = count
			continue
		case w.follow != "" && now < count:
			sizes = append(sizes, Change{Topic: w.name, Action: Grow, Partitions: count, Reason: fmt.Sprintf("%s has %d partitions, this %d", w.follow, count, now)})
		case w.follow != "" && now > count:
			unequal = append(unequal, fmt.Errorf("%w: %s has %d, its source %s only %d", ErrUnequal, w.name, now, w.follow, count))
		}
		if differs, reason := have.drift(w.name, config); reason != "" {
			drift = append(drift, Change{Topic: w.name, Action: Configure, Config: differs, Reason: reason})
		}
	}
	if err := errors.Join(unequal...); err != nil {
		return nil, err
	}
	slices.SortFunc(drift, func(a, b Change) int { return cmp.Compare(a.Topic, b.Topic) })
	return append(sizes, drift...), nil
}

// look reads partition counts and configurations of the wanted topics.
func look(ctx context.Context, admin *kadm.Client, want []wanted) (cluster, error) {
	c := cluster{counts: map[string]int32{}, maxMessage: brokerMaxMessage(ctx, admin)}
	have, err := admin.ListTopics(fresh(ctx))
	if err != nil {
		return c, fmt.Errorf("list topics: %w", err)
	}
	var names []string
	for _, w := range want {
		if t, ok := have[w.name]; ok && t.Err == nil {
			c.counts[w.name] = int32(len(t.Partitions)) //nolint:gosec // Kafka counts partitions in 32 bits
			names = append(names, w.name)
		}
	}
	if len(names) == 0 {
		return c, nil
	}
	c.configs, err = Settings(ctx, admin, names...)
	return c, err
}

// Settings returns the configuration of topics that exist, by name and key.
func Settings(ctx context.Context, admin *kadm.Client, names ...string) (map[string]map[string]string, error) {
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	all := map[string]map[string]string{}
	for _, d := range described {
		if d.Err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", d.Name, d.Err)
		}
		values := map[string]string{}
		for _, entry := range d.Configs {
			values[entry.Key] = entry.MaybeValue()
		}
		all[d.Name] = values
	}
	return all, nil
}

// fresh makes a listing go to the broker. The client otherwise answers from a
// cache, from which a topic that was just changed is missing: a plan would make
// it again.
func fresh(ctx context.Context) context.Context { return kadm.WithAuthorizedOps(ctx) }

// brokerMaxMessage is the broker's default message size; Kafka's own where one
// may not ask.
func brokerMaxMessage(ctx context.Context, admin *kadm.Client) int {
	brokers, err := admin.ListBrokers(ctx)
	if err != nil || len(brokers) == 0 {
		return defaultMaxMessage
	}
	described, err := admin.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	if err != nil {
		return defaultMaxMessage
	}
	for _, broker := range described {
		for _, entry := range broker.Configs {
			if size, err := strconv.Atoi(entry.MaybeValue()); err == nil && entry.Key == "message.max.bytes" {
				return size
			}
		}
	}
	return defaultMaxMessage
}

// wanted adds the message size, which depends on the source's.
func (c cluster) wanted(w wanted) map[string]string {
	if w.follow == "" {
		return w.config
	}
	size, err := strconv.Atoi(c.configs[w.follow][keyMaxMessage])
	if err != nil {
		size = c.maxMessage
	}
	config := maps.Clone(w.config)
	config[keyMaxMessage] = roomFor(size)
	return config
}

// drift returns the settings that differ, and says how. A larger message size
// than needed is nobody's harm.
func (c cluster) drift(topic string, want map[string]string) (map[string]string, string) {
	differs := map[string]string{}
	var reasons []string
	for _, key := range slices.Sorted(maps.Keys(want)) {
		now, told := c.configs[topic][key]
		if !told || same(key, now, want[key]) {
			continue
		}
		differs[key] = want[key]
		reasons = append(reasons, fmt.Sprintf("%s is %s, not %s", key, now, want[key]))
	}
	return differs, strings.Join(reasons, "; ")
}

func same(key, now, want string) bool {
	switch key {
	case keyMaxMessage:
		have, err := strconv.Atoi(now)
		need, _ := strconv.Atoi(want)
		return err == nil && have >= need
	case keyPolicy: // a list in any order
		a, b := strings.Split(strings.ReplaceAll(now, " ", ""), ","), strings.Split(want, ",")
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(a, b)
	}
	return now == want
}
