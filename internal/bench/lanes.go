package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// deliverLanes is what a good engineer writes in a day: lanes per key, a pool
// of senders, commits of the contiguous prefix. It retries nothing, limits
// nothing, keeps no order beyond memory and survives no rebalance.
func deliverLanes(ctx context.Context, j job, m *meter) error {
	client, err := consumer(j)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	p, h := newPoster(j), newHand(j.Ordered)
	var wg sync.WaitGroup
	for range j.InFlight {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case l := <-h.ready:
					r := h.head(l)
					if p.post(ctx, fmt.Sprintf("%s-%d-%d", r.Topic, r.Partition, r.Offset), l.key, r.Value) != nil {
						return
					}
					h.settle(l, r)
					m.tick()
				}
			}
		})
	}
	wg.Go(func() { h.parts.commit(ctx, client, j.Source) })
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, 500)
		fetches.EachRecord(func(r *kgo.Record) { h.add(ctx, r) })
		client.AllowRebalance()
	}
	wg.Wait()
	return nil
}

// maxHeld bounds the records in memory.
const maxHeld = 8192

// hand holds what was read and not settled.
type hand struct {
	ordered bool
	room    chan struct{}
	ready   chan *handLane

	mu    sync.Mutex
	lanes map[string]*handLane
	parts prefixes
}

// handLane is the queue of one key, the record in flight first.
type handLane struct {
	key   string
	queue []*kgo.Record
}

func newHand(ordered bool) *hand {
	return &hand{
		ordered: ordered, room: make(chan struct{}, maxHeld), ready: make(chan *handLane, maxHeld),
		lanes: map[string]*handLane{}, parts: prefixes{of: map[int32]*prefix{}},
	}
}

func (h *hand) add(ctx context.Context, r *kgo.Record) {
	select {
	case h.room <- struct{}{}:
	case <-ctx.Done():
		return
	}
	h.parts.begin(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lanes[string(r.Key)]
	if l == nil || !h.ordered {
		l = &handLane{key: string(r.Key)}
		if h.ordered {
			h.lanes[l.key] = l
		}
	}
	l.queue = append(l.queue, r)
	if len(l.queue) == 1 {
		h.ready <- l // never full: there are no more lanes than records
	}
}

func (h *hand) head(l *handLane) *kgo.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return l.queue[0]
}

func (h *hand) settle(l *handLane, r *kgo.Record) {
	h.parts.finish(r)
	h.mu.Lock()
	l.queue = l.queue[1:]
	if len(l.queue) > 0 {
		h.ready <- l
	} else if h.ordered {
		delete(h.lanes, l.key)
	}
	h.mu.Unlock()
	<-h.room
}
