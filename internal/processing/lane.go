package processing

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partition names one partition.
type partition struct {
	topic  string
	number int32
}

// result is what became of one record.
type result struct {
	outputs []*kgo.Record
	outcome outcome
	// redriven: somebody sent the record again.
	redriven bool
	broke    breach
}

// lane processes what one poll gave of a partition, in order. While it is at
// work its partition is not fetched, so it is all that is held of it.
type lane struct {
	partition partition
	records   []*kgo.Record
	cancel    context.CancelFunc
	// acked: a transaction was committed since these records were polled, and
	// so the client believes all of them done and will not read them again.
	acked  bool
	paused bool

	mu      sync.Mutex
	results []result // ready and not taken
	taken   int
	waiting bool
}

// finish adds a result.
func (l *lane) finish(res result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results = append(l.results, res)
	l.waiting = false
}

func (l *lane) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = true
}

// busy reports whether something will be ready soon.
func (l *lane) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.waiting && l.taken+len(l.results) < len(l.records)
}

// take returns what is ready and the offset behind it.
func (l *lane) take() ([]result, kgo.EpochOffset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	results := l.results
	if len(results) == 0 {
		return nil, kgo.EpochOffset{}
	}
	l.results = nil
	l.taken += len(results)
	last := l.records[l.taken-1]
	return results, kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
}

// done reports whether all was taken. Only the taker may ask.
func (l *lane) done() bool { return l.taken == len(l.records) }

// lanes are those at work. All but progress belongs to the polling goroutine.
type lanes struct {
	all map[partition]*lane
	// progress wakes the polling goroutine: something is ready, or waits.
	progress chan struct{}
	running  *sync.WaitGroup
}

func newLanes() lanes {
	return lanes{all: map[partition]*lane{}, progress: make(chan struct{}, 1), running: new(sync.WaitGroup)}
}

func (ls lanes) nudge() {
	select {
	case ls.progress <- struct{}{}:
	default:
	}
}

func (ls lanes) busy() bool {
	for _, l := range ls.all {
		if l.busy() {
			return true
		}
	}
	return false
}

// acked reports whether the client believes some lane's records done.
func (ls lanes) acked() bool {
	for _, l := range ls.all {
		if l.acked {
			return true
		}
	}
	return false
}

// begun tells at which offsets the lanes' records begin.
func (ls lanes) begun() map[partition]int64 {
	offsets := make(map[partition]int64, len(ls.all))
	for p, l := range ls.all {
		offsets[p] = l.records[0].Offset
	}
	return offsets
}

// drop forgets all lanes and returns the partitions that were paused for them.
func (ls lanes) drop() map[string][]int32 {
	paused := map[string][]int32{}
	for p, l := range ls.all {
		l.cancel()
		if l.paused {
			paused[p.topic] = append(paused[p.topic], p.number)
		}
	}
	clear(ls.all)
	return paused
}
