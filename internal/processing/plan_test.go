//go:build synctests

package processing

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"holdfast.internal"
	"holdfast.internal/processors"
)

// step is something that happens to the workers or the broker.
type step struct {
	after time.Duration
	kind  string
	who   string
}

func steps() *rapid.Generator[[]step] {
	one := rapid.Custom(func(t *rapid.T) step {
		return step{
			after: time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond,
			kind:  rapid.SampledFrom([]string{"start", "start", "stop", "kill", "commit", "generation", "end", "produce", "leaders", "coordinators"}).Draw(t, "kind"),
			who:   rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "who"),
		}
	})
	return rapid.SliceOfN(one, 0, 8)
}

// TestAnyPlan (P1, P2, P3): whatever happens to workers and broker while
// records wait, every event is made once, and those of a key in order.
func TestAnyPlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		plan := steps().Draw(rt, "plan")
		if said := carryOut(t, plan); said != "" {
			rt.Fatalf("%s; plan %v", said, plan)
		}
	})
}

func carryOut(t *testing.T, plan []step) (said string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var vn kfake.VirtualNetwork
		w := newWorld(t, 3, []kfake.Opt{kfake.NumBrokers(2), kfake.Ports(9092, 9093), kfake.ListenFn(vn.Listen)}, kgo.Dialer(vn.DialContext))
		w.log = zap.NewNop()
		p := play{w: w, vn: &vn, workers: map[string]*played{}}
		const events = 90
		for i := range events {
			w.putRecord(&kgo.Record{Topic: in, Partition: int32(i % 3), Key: []byte(strconv.Itoa(i % 3)), Value: good(fmt.Sprintf("%03d", i))})
		}
		p.do("start", "a")
		for _, s := range plan {
			pass(s.after)
			p.do(s.kind, s.who)
		}
		p.do("start", "a")
		pass(10 * time.Minute)
		p.stopAll()
		said = verdict(w.all(out), w.all(dead), events)
	})
	return said
}

// verdict says what is wrong with the outputs.
func verdict(made, letters []*kgo.Record, events int) string {
	var wrong []string
	count := map[string]int{}
	last := map[string]string{}
	for _, r := range made {
		body := string(r.Value[5:])
		count[body]++
		if key := string(r.Key); body < last[key] {
			wrong = append(wrong, body+" after "+last[key])
		} else {
			last[key] = body
		}
	}
	for i := range events {
		if n := count[fmt.Sprintf("%03d", i)]; n != 1 {
			wrong = append(wrong, fmt.Sprintf("%03d %d times", i, n))
		}
	}
	if len(letters) > 0 {
		wrong = append(wrong, fmt.Sprintf("%d dead letters", len(letters)))
	}
	return strings.Join(wrong, ", ")
}

// play holds the workers of a plan.
type play struct {
	w       *world
	vn      *kfake.VirtualNetwork
	workers map[string]*played

	mu    sync.Mutex
	tries map[string]int
}

type played struct {
	stop func() error
	net  *cable
}

func (p *play) do(kind, who string) {
	faults := map[string]kfake.Fault{
		"commit":     {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RebalanceInProgress, Count: 2},
		"generation": {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 1},
		"end":        {Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.UnknownServerError, Count: 1},
		"produce":    {Keys: []kmsg.Key{kmsg.Produce}, Topic: out, Err: kerr.NotEnoughReplicasAfterAppend, Count: 2},
	}
	running := p.workers[who]
	switch {
	case kind == "start" && running == nil:
		n := &cable{base: p.vn.DialContext}
		r := p.w.runtime(Config{Instance: who}, processors.Func(p.process), plain{}, kgo.Dialer(n.dial))
		p.workers[who] = &played{stop: p.w.start(r), net: n}
	case kind == "stop" && running != nil, kind == "kill" && running != nil:
		if kind == "kill" {
			running.net.pull()
		}
		_ = running.stop()
		delete(p.workers, who)
	case kind == "leaders":
		p.w.cluster.ShufflePartitionLeaders()
	case kind == "coordinators":
		p.w.cluster.RehashCoordinators()
	default:
		if f, ok := faults[kind]; ok {
			p.w.cluster.Fault(f)
		}
	}
}

func (p *play) stopAll() {
	for _, one := range p.workers {
		_ = one.stop()
	}
}

// process makes one event in seven wait once or twice.
func (p *play) process(_ context.Context, ev holdfast.Event) ([]processors.Output, error) {
	body := string(ev.Value.(text))
	n, _ := strconv.Atoi(body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tries == nil {
		p.tries = map[string]int{}
	}
	p.tries[body]++
	if n%7 == 0 && p.tries[body] <= 1+n%2 {
		return nil, holdfast.Transient(holdfast.ClassConflict, errRefused)
	}
	return []processors.Output{{Key: string(ev.Key), Value: body}}, nil
}
