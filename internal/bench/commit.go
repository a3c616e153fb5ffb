package main

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// prefixes knows, by partition, up to which offset everything is finished.
type prefixes struct {
	mu sync.Mutex
	of map[int32]*prefix
}

// prefix is one partition's.
type prefix struct {
	base int64 // the first that is not finished
	done []bool
}

// begin notes where a partition starts, at its first record.
func (p *prefixes) begin(r *kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[r.Partition] == nil {
		p.of[r.Partition] = &prefix{base: r.Offset}
	}
}

func (p *prefixes) finish(r *kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[r.Partition].finish(r.Offset)
}

func (p *prefix) finish(offset int64) {
	at := int(offset - p.base)
	for len(p.done) <= at {
		p.done = append(p.done, false)
	}
	p.done[at] = true
	n := 0
	for n < len(p.done) && p.done[n] {
		n++
	}
	p.done, p.base = p.done[n:], p.base+int64(n)
}

// commit writes the prefixes ten times a second until ctx ends.
func (p *prefixes) commit(ctx context.Context, client *kgo.Client, topic string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		offsets := map[int32]kgo.EpochOffset{}
		p.mu.Lock()
		for num, each := range p.of {
			offsets[num] = kgo.EpochOffset{Epoch: -1, Offset: each.base}
		}
		p.mu.Unlock()
		client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{topic: offsets}, nil)
	}
}
