package topics

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Topic is one topic of a configuration as the cluster has it.
type Topic struct {
	Topic string `json:"topic"`
	// Purpose says in words whom it belongs to: "retry tier of sink stripe-invoices".
	Purpose    string `json:"purpose"`
	Exists     bool   `json:"exists"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	// Records are the offsets between start and end: what compaction and
	// transaction markers took still counts.
	Records int64 `json:"records"`
}

// List describes every topic that sinks and processors need, in the order in
// which a record passes them.
func List(ctx context.Context, admin *kadm.Client, sinks []Sink, processors []Processor) ([]Topic, error) {
	want := desired(sinks, processors, DefaultPartitions)
	have, err := admin.ListTopics(fresh(ctx))
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var names []string
	for _, w := range want {
		if have.Has(w.name) {
			names = append(names, w.name)
		}
	}
	records, err := countRecords(ctx, admin, names)
	if err != nil {
		return nil, err
	}
	out := make([]Topic, 0, len(want))
	for _, w := range want {
		t := Topic{Topic: w.name, Purpose: w.reason, Exists: slices.Contains(names, w.name), Records: records[w.name]}
		if t.Exists {
			t.Partitions = len(have[w.name].Partitions)
			t.Replicas = have[w.name].Partitions.NumReplicas()
		}
		out = append(out, t)
	}
	return out, nil
}

func countRecords(ctx context.Context, admin *kadm.Client, names []string) (map[string]int64, error) {
	n := map[string]int64{}
	if len(names) == 0 {
		return n, nil
	}
	start, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	end, err := admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	end.Each(func(o kadm.ListedOffset) {
		if from, ok := start.Lookup(o.Topic, o.Partition); ok && o.Err == nil && from.Err == nil {
			n[o.Topic] += o.Offset - from.Offset
		}
	})
	return n, nil
}
