package main

import (
	"context"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// deliverSerial is what most consumers do: the records of a partition one
// after the other, partitions side by side.
func deliverSerial(ctx context.Context, j job, m *meter) error {
	client, err := consumer(j)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	p, parts := newPoster(j), prefixes{of: map[int32]*prefix{}}
	var wg sync.WaitGroup
	wg.Go(func() { parts.commit(ctx, client, j.Source) })
	queues := map[int32]chan *kgo.Record{}
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, 500)
		fetches.EachRecord(func(r *kgo.Record) {
			queue := queues[r.Partition]
			if queue == nil {
				queue = make(chan *kgo.Record, maxHeld)
				queues[r.Partition] = queue
				parts.begin(r)
				wg.Go(func() { sendInTurn(ctx, queue, p, &parts, m) })
			}
			select {
			case queue <- r:
			case <-ctx.Done():
			}
		})
		client.AllowRebalance()
	}
	wg.Wait()
	return nil
}

func sendInTurn(ctx context.Context, queue <-chan *kgo.Record, p *poster, parts *prefixes, m *meter) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-queue:
			if p.post(ctx, strconv.FormatInt(r.Offset, 10), string(r.Key), r.Value) != nil {
				return
			}
			parts.finish(r)
			m.tick()
		}
	}
}
