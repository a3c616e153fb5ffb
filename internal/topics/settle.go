package topics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerTimeout bounds one question to one broker: that one is away does not
// keep the others' news back.
const brokerTimeout = 2 * time.Second

// settle waits until every broker knows every new partition with its leader,
// and the leader serves it: brokers learn of topics a moment after the
// controller has made them, on a busy machine seconds after, each at its own
// time; a producer that meets an unknown topic gives up within one.
func settle(ctx context.Context, client *kgo.Client, want map[string]int32) error {
	if len(want) == 0 {
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		served, err := serves(ctx, client, want)
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

func serves(ctx context.Context, client *kgo.Client, want map[string]int32) (bool, error) {
	admin := kadm.NewClient(client)
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return false, err
	}
	for _, id := range brokers.NodeIDs() {
		if known, err := knows(ctx, client.Broker(int(id)), want); err != nil || !known {
			return false, err
		}
	}
	offsets, err := admin.ListStartOffsets(ctx, slices.Sorted(maps.Keys(want))...) // asks the leaders themselves
	if err == nil {
		err = offsets.Error()
	}
	if kerr.IsRetriable(err) {
		return false, nil
	}
	return err == nil, err
}

// knows asks one broker. One that does not answer has nothing old to say.
func knows(ctx context.Context, broker *kgo.Broker, want map[string]int32) (bool, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = new(name)
		req.Topics = append(req.Topics, topic)
	}
	bounded, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	answer, err := broker.Request(bounded, req)
	if err != nil {
		return true, ctx.Err()
	}
	resp := answer.(*kmsg.MetadataResponse) //nolint:forcetypeassert // the request's own response
	return shows(resp.Topics, want), nil
}

func shows(have []kmsg.MetadataResponseTopic, want map[string]int32) bool {
	for _, t := range have {
		if t.ErrorCode != 0 || t.Topic == nil || len(t.Partitions) < int(want[*t.Topic]) {
			return false
		}
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.Leader < 0 {
				return false
			}
		}
	}
	return len(have) == len(want)
}
