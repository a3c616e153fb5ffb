package topics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"holdfast.internal/internal/record"
)

// DefaultPartitions is the partition count of a source topic that is made.
const DefaultPartitions = 12

// Sink is what the topics of a sink follow from.
type Sink struct {
	Name  string
	In    string
	Tiers []time.Duration
}

// Processor is what the topics of a processor follow from.
type Processor struct {
	Name    string
	In, Out string
}

// Change is one thing that differs between what is and what should be.
type Change struct {
	Topic      string            `json:"topic"`
	Action     string            `json:"action"` // create, grow, configure
	Partitions int32             `json:"partitions,omitempty"`
	Config     map[string]string `json:"config,omitempty"`
	Reason     string            `json:"reason"`
}

// wanted is a topic as it should be.
type wanted struct {
	name   string
	follow string // the topic whose partition count it has; "" for one of its own
	count  int32
	config map[string]string
	reason string
}

const (
	forever = "-1"
	create  = "create"
	grow    = "grow"
	config  = "configure"
)

// sourceMaxBytes is Kafka's default for max.message.bytes.
const sourceMaxBytes = 1048588

// Plan compares the cluster with what sinks and processors need. Topics of a
// sink or processor have the partition count of their source; a source that
// does not exist is made with the given count.
func Plan(ctx context.Context, admin *kadm.Client, sinks []Sink, processors []Processor, partitions int32) ([]Change, error) {
	have, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	want := desired(sinks, processors, partitions)
	counts := make(map[string]int32, len(have))
	for name, t := range have {
		if t.Err == nil {
			counts[name] = int32(len(t.Partitions)) //nolint:gosec // Kafka counts partitions in 32 bits
		}
	}
	var changes []Change
	for _, w := range want {
		count := w.count
		if w.follow != "" {
			count = counts[w.follow]
		}
		now, exists := counts[w.name]
		switch {
		case !exists:
			changes = append(changes, Change{Topic: w.name, Action: create, Partitions: count, Config: w.config, Reason: w.reason})
			counts[w.name] = count
		case w.follow != "" && now < count:
			changes = append(changes, Change{Topic: w.name, Action: grow, Partitions: count, Reason: fmt.Sprintf("%s has %d partitions, this %d", w.follow, count, now)})
		case w.follow != "" && now > count:
			return nil, fmt.Errorf("%s has %d partitions and its source %s only %d: %w", w.name, now, w.follow, count, ErrUnequal)
		}
	}
	drift, err := configDrift(ctx, admin, have, want)
	if err != nil {
		return nil, err
	}
	return append(changes, drift...), nil
}

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
		add(wanted{name: Redrive(p.Name), follow: p.In, config: kept(), reason: "redrive of processor " + p.Name})
		add(wanted{name: DeadLetters(p.Name), follow: p.In, config: kept(), reason: "dead letters of processor " + p.Name})
	}
	for _, s := range sinks {
		for _, tier := range s.Tiers {
			add(wanted{name: Retry(s.Name, tier), follow: s.In, config: kept(), reason: "retry tier of sink " + s.Name})
		}
		add(wanted{name: Redrive(s.Name), follow: s.In, config: kept(), reason: "redrive of sink " + s.Name})
		add(wanted{name: DeadLetters(s.Name), follow: s.In, config: kept(), reason: "dead letters of sink " + s.Name})
	}
	compacted := map[string]string{"cleanup.policy": "compact", "message.timestamp.type": "CreateTime"}
	add(wanted{name: Dispositions, count: 1, config: compacted, reason: "what became of dead letters"})
	return all
}

// kept is the configuration of what must neither be lost nor refused: tiers,
// redrive and dead letters.
func kept() map[string]string {
	return map[string]string{
		"cleanup.policy":         "delete",
		"retention.ms":           forever,
		"retention.bytes":        forever,
		"message.timestamp.type": "CreateTime",
		"max.message.bytes":      strconv.Itoa(sourceMaxBytes + record.Headroom),
	}
}

func configDrift(ctx context.Context, admin *kadm.Client, have kadm.TopicDetails, want []wanted) ([]Change, error) {
	byName := map[string]wanted{}
	var names []string
	for _, w := range want {
		if t, ok := have[w.name]; ok && t.Err == nil && len(w.config) > 0 {
			byName[w.name] = w
			names = append(names, w.name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	var changes []Change
	for _, rc := range configs {
		differs := map[string]string{}
		for _, c := range rc.Configs {
			if value, ok := byName[rc.Name].config[c.Key]; ok && c.MaybeValue() != value {
				differs[c.Key] = value
			}
		}
		if len(differs) > 0 {
			changes = append(changes, Change{Topic: rc.Name, Action: config, Config: differs, Reason: "configuration differs"})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Topic, b.Topic) })
	return changes, nil
}

// Apply makes the changes.
func Apply(ctx context.Context, admin *kadm.Client, changes []Change) error {
	for _, c := range changes {
		if err := apply(ctx, admin, c); err != nil {
			return fmt.Errorf("%s topic %s: %w", c.Action, c.Topic, err)
		}
	}
	return nil
}

func apply(ctx context.Context, admin *kadm.Client, c Change) error {
	switch c.Action {
	case create:
		configs := make(map[string]*string, len(c.Config))
		for k, v := range c.Config {
			configs[k] = &v
		}
		resp, err := admin.CreateTopic(ctx, c.Partitions, -1, configs, c.Topic)
		if errors.Is(err, kerr.TopicAlreadyExists) || errors.Is(resp.Err, kerr.TopicAlreadyExists) {
			return nil
		}
		return errors.Join(err, resp.Err)
	case grow:
		resp, err := admin.UpdatePartitions(ctx, int(c.Partitions), c.Topic)
		if err != nil {
			return err
		}
		return resp.Error()
	case config:
		var alter []kadm.AlterConfig
		for k, v := range c.Config {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: &v})
		}
		resps, err := admin.AlterTopicConfigs(ctx, alter, c.Topic)
		if err != nil {
			return err
		}
		for _, r := range resps {
			if r.Err != nil {
				return r.Err
			}
		}
	}
	return nil
}

// What stops a worker at its start.
var (
	ErrUnequal = errors.New("partition counts differ")
	ErrMissing = errors.New("topics are missing or differ from their source")
)

// Check reports whether all topics are there with the counts they need. The
// error names the command that mends it.
func Check(ctx context.Context, admin *kadm.Client, sinks []Sink, processors []Processor) error {
	changes, err := Plan(ctx, admin, sinks, processors, DefaultPartitions)
	if err != nil {
		return err
	}
	var bad []string
	for _, c := range changes {
		if c.Action != config {
			bad = append(bad, c.Topic)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w: %v; run `holdfast topic apply --config FILE --yes`", ErrMissing, bad)
	}
	return nil
}
