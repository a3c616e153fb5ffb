package topics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Apply makes the changes, with the broker's default replication factor, and
// waits until the cluster shows new partitions everywhere it is asked. Doing it
// again is harmless.
func Apply(ctx context.Context, admin *kadm.Client, changes []Change) error {
	for _, c := range changes {
		if err := apply(ctx, admin, c); err != nil {
			return fmt.Errorf("%s topic %s: %w", c.Action, c.Topic, err)
		}
	}
	return settle(ctx, admin, changes)
}

func apply(ctx context.Context, admin *kadm.Client, c Change) error {
	switch c.Action {
	case Create:
		return made(ctx, admin, c)
	case Grow:
		responses, err := admin.UpdatePartitions(ctx, int(c.Partitions), c.Topic)
		if err != nil {
			return err
		}
		return responses.Error()
	case Configure:
		return configured(ctx, admin, c)
	}
	return nil
}

func made(ctx context.Context, admin *kadm.Client, c Change) error {
	config := make(map[string]*string, len(c.Config))
	for key, value := range c.Config {
		config[key] = &value
	}
	response, err := admin.CreateTopic(ctx, c.Partitions, -1, config, c.Topic)
	if err == nil {
		err = response.Err
	}
	if errors.Is(err, kerr.TopicAlreadyExists) { // somebody else was quicker; the next plan compares
		return nil
	}
	if err != nil && response.ErrMessage != "" {
		return fmt.Errorf("%w: %s", err, response.ErrMessage)
	}
	return err
}

func configured(ctx context.Context, admin *kadm.Client, c Change) error {
	var alter []kadm.AlterConfig
	for key, value := range c.Config {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
	}
	responses, err := admin.AlterTopicConfigs(ctx, alter, c.Topic)
	if err != nil {
		return err
	}
	for _, r := range responses {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// settle waits until metadata shows every new partition with a leader: brokers
// learn of topics a moment after the controller has made them.
func settle(ctx context.Context, admin *kadm.Client, changes []Change) error {
	want := map[string]int32{}
	var names []string
	for _, c := range changes {
		if c.Partitions > 0 {
			want[c.Topic] = c.Partitions
			names = append(names, c.Topic)
		}
	}
	if len(names) == 0 {
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		have, err := admin.ListTopics(fresh(ctx), names...)
		if err != nil {
			return fmt.Errorf("list new topics: %w", err)
		}
		if shows(have, want) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for new topics: %w", ctx.Err())
		}
	}
}

func shows(have kadm.TopicDetails, want map[string]int32) bool {
	for name, count := range want {
		t, ok := have[name]
		if !ok || t.Err != nil || len(t.Partitions) < int(count) {
			return false
		}
		for _, p := range t.Partitions {
			if p.Err != nil || p.Leader < 0 {
				return false
			}
		}
	}
	return true
}
