package topics

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Apply makes the changes, with the broker's default replication factor, and
// waits until every broker knows of the new partitions and their leaders serve
// them, so that who writes to them now, or asks any broker for them, is not
// refused. It waits until ctx ends at most. Doing it again is harmless.
func Apply(ctx context.Context, client *kgo.Client, changes []Change) error {
	admin := kadm.NewClient(client)
	want := map[string]int32{}
	for _, c := range changes {
		if err := apply(ctx, admin, c, want); err != nil {
			return fmt.Errorf("%s topic %s: %w", c.Action, c.Topic, err)
		}
	}
	return settle(ctx, client, want)
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
