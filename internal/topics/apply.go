package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Apply makes the changes, with the broker's default replication factor, and
// waits until the leaders of new partitions serve them, so that who writes to
// them now is not refused. Doing it again is harmless.
func Apply(ctx context.Context, admin *kadm.Client, changes []Change) error {
	want := map[string]int32{}
	for _, c := range changes {
		if err := apply(ctx, admin, c, want); err != nil {
			return fmt.Errorf("%s topic %s: %w", c.Action, c.Topic, err)
		}
	}
	return settle(ctx, admin, want)
}

// apply makes one change and notes in want how many partitions are there then.
func apply(ctx context.Context, admin *kadm.Client, c Change, want map[string]int32) error {
	switch c.Action {
	case Create:
		want[c.Topic] = c.Partitions
		err := made(ctx, admin, c)
		if errors.Is(err, kerr.TopicAlreadyExists) { // somebody else was quicker; the next plan compares
			want[c.Topic] = 1
			return nil
		}
		return err
	case Grow:
		want[c.Topic] = c.Partitions
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

// settle waits until metadata shows every new partition with a leader, and the
// leader serves it: brokers learn of topics a moment after the controller has
// made them, on a busy machine seconds after, and a producer that meets an
// unknown topic gives up within one.
func settle(ctx context.Context, admin *kadm.Client, want map[string]int32) error {
	if len(want) == 0 {
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		served, err := serves(ctx, admin, want)
		if err != nil {
			return fmt.Errorf("wait for new topics: %w", err)
		}
		if served {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for new topics: %w", ctx.Err())
		}
	}
}

func serves(ctx context.Context, admin *kadm.Client, want map[string]int32) (bool, error) {
	names := slices.Sorted(maps.Keys(want))
	have, err := admin.ListTopics(fresh(ctx), names...)
	if err != nil || !shows(have, want) {
		return false, err
	}
	offsets, err := admin.ListStartOffsets(ctx, names...) // asks the leaders themselves
	if err == nil {
		err = offsets.Error()
	}
	if kerr.IsRetriable(err) {
		return false, nil
	}
	return err == nil, err
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
