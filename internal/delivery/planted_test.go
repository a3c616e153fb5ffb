//go:build synctests

package delivery

import (
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal/sinks"
)

// planted are the bugs that random plans have to find. A suite that misses one
// of them proves nothing about the others.
func planted() map[string]bug {
	return map[string]bug{
		"an offset is committed before the record is delivered": {before: func(p *proc, a *sinks.Attempt) {
			s := p.worker.sched
			s.mu.Lock()
			defer s.mu.Unlock()
			if part := s.part(source, a.Event.Origin.Partition); part != nil {
				part.finished.Finish(a.Event.Origin.Offset)
			}
		}},
		"an endpoint's hold is forgotten": {before: func(p *proc, _ *sinks.Attempt) {
			s := p.worker.sched
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, tn := range s.tenants {
				tn.endpoints = nil
			}
		}},
		"a follower overtakes":               {config: func(c *Config) { c.Ordered = false }},
		"a follower overtakes what failed":   {failed: leaveLane},
		"a follower overtakes a dead one":    {config: func(c *Config) { c.Park = false }},
		"an outage spends attempts":          {config: func(c *Config) { c.EveryFailureSpends = true }},
		"one token pays for an attempt":      {free: true},
		"a request is sent when it is paid":  {early: true},
		"what others are told is not heeded": {deaf: true},
		"a restart begins at the start":      {cluster: swallowCommits},
		"each attempt has a key of its own":  {key: func(a *sinks.Attempt) string { return a.Key("") + strconv.Itoa(a.Number) }},
	}
}

// leaveLane lets a record that failed out of the lane of its key, so that what
// follows it goes while it waits in a tier.
func leaveLane(p *proc, a *sinks.Attempt) {
	s := p.worker.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[a.Event.Origin.Partition]
	if sh == nil || sh.gone {
		return
	}
	for i, t := range sh.tasks.all() {
		if t.env.Event.ID != a.Event.ID || sh.index.at(i).key == 0 {
			continue
		}
		next := sh.index.unlink(i)
		sh.index.at(i).key = 0
		sh.index.link(i)
		if next != none {
			s.consider(sh, next)
		}
		return
	}
}

// swallowCommits makes a broker that says yes to every commit and keeps none.
func swallowCommits(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.OffsetCommit), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := kreq.(*kmsg.OffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewOffsetCommitResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetCommitResponseTopicPartition()
				rp.Partition = p.Partition
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

func TestPlantedBugsAreFoundWithin100Plans(t *testing.T) {
	t.Parallel()
	for name, b := range planted() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suite := &hits{count: map[string]int{}}
			for seed := range 100 {
				if wrong := play(t, plans().Example(seed), b, suite); wrong != "" {
					t.Logf("found by plan %d: %.80s", seed+1, wrong)
					return
				}
			}
			t.Error("100 plans did not find it")
		})
	}
}
