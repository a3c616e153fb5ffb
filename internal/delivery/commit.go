package delivery

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitCallback keeps the first thing that went wrong with a commit, whether
// as a whole or for one partition.
func commitCallback(failed *error) func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	return func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			*failed = err
			return
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					*failed = err
					return
				}
			}
		}
	}
}

// uncommitted notes that a commit failed, so that the next one repeats it.
func (s *scheduler) uncommitted(o offsets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, parts := range o {
		for num := range parts {
			if p := s.parts[topic][num]; p != nil {
				p.committed = -1
			}
		}
	}
}
