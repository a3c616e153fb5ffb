package processing

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/watch"
)

// standing is how far a runtime has come, for those who ask from outside.
type standing struct {
	mu     sync.Mutex
	client *kgo.Client // nil between sessions
	held   map[partition]watch.Part
}

// begin follows a new client; nil ends it.
func (s *standing) begin(client *kgo.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.held = client, map[partition]watch.Part{}
}

// note keeps what a lane holds.
func (s *standing) note(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.done() {
		delete(s.held, l.partition)
		return
	}
	s.held[l.partition] = watch.Part{
		Topic: l.partition.topic, Partition: l.partition.number,
		Next: l.records[len(l.records)-1].Offset + 1, Held: int64(len(l.records) - l.taken), Oldest: l.records[l.taken].Timestamp,
	}
}

// clear forgets the lanes: what they held is read again.
func (s *standing) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.held)
}

// Parts says how the partitions of this runtime stand: what is in work, and
// beyond that what is committed.
func (r *Runtime) Parts() []watch.Part {
	s := &r.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil
	}
	var parts []watch.Part
	for topic, offsets := range s.client.CommittedOffsets() {
		for num, at := range offsets {
			part, working := s.held[partition{topic, num}]
			if !working {
				part = watch.Part{Topic: topic, Partition: num, Next: at.Offset}
			}
			parts = append(parts, part)
		}
	}
	return parts
}
