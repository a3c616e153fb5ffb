package copartition

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// numbers is the partition count of each topic of the fleet.
const numbers = 12

const (
	session   = 8 * time.Second
	heartbeat = time.Second
)

// fleet are the workers of one group, each with a client and callbacks as the
// engine has them. Every callback is checked against what all others hold.
type fleet struct {
	t      *testing.T
	opts   []kgo.Opt // brokers, and how they are reached
	dial   func(ctx context.Context, network, host string) (net.Conn, error)
	group  string
	topics []string

	mu      sync.Mutex
	workers []*worker
}

type worker struct {
	name   string
	static bool
	fleet  *fleet
	client *kgo.Client
	line   *line

	// Under the mutex of the fleet:
	dead  bool
	holds map[string][]int32
	got   time.Time // the last callback that gave something
	calls int       // callbacks, without those that say nothing
}

// start adds a worker. It is static if the name is to be one.
func (f *fleet) start(name string, static bool, topics ...string) *worker {
	f.t.Helper()
	w := &worker{name: name, static: static, fleet: f, line: &line{dial: f.dial}, holds: map[string][]int32{}}
	opts := append(slices.Clone(f.opts),
		kgo.Dialer(w.line.dialContext),
		kgo.ConsumerGroup(f.group),
		kgo.ConsumeTopics(append(slices.Clone(f.topics), topics...)...),
		kgo.Balancers(Balancer()),
		kgo.SessionTimeout(session),
		kgo.HeartbeatInterval(heartbeat),
		kgo.RebalanceTimeout(30*time.Second),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) { w.assigned(added) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { w.gone(lost) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { w.gone(lost) }),
	)
	if static {
		opts = append(opts, kgo.InstanceID(name))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	w.client = client
	f.mu.Lock()
	f.workers = append(f.workers, w)
	f.mu.Unlock()
	f.t.Cleanup(client.Close)
	return w
}

func (w *worker) assigned(added map[string][]int32) {
	f := w.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.dead || len(added) == 0 {
		return
	}
	w.calls++
	w.got = time.Now()
	for topic, ps := range added {
		w.holds[topic] = append(w.holds[topic], ps...)
	}
	f.check(w)
}

func (w *worker) gone(lost map[string][]int32) {
	f := w.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.dead || len(lost) == 0 {
		return
	}
	w.calls++
	w.holds = minus(w.holds, lost)
	f.check(w)
}

// check fails the test if the worker holds part of a number, or shares one.
func (f *fleet) check(w *worker) {
	own, part := wholeAndPart(w.holds, f.topics...)
	if len(part) > 0 {
		f.t.Errorf("%s holds part of %v: %v", w.name, part, w.holds)
	}
	for _, other := range f.workers {
		if others, _ := wholeAndPart(other.holds, f.topics...); other != w && len(common(own, others)) > 0 {
			f.t.Errorf("%v are with %s and %s", common(own, others), w.name, other.name)
		}
	}
}

// kill ends a worker as SIGKILL does: its connections close, nothing is said.
func (w *worker) kill() {
	w.fleet.bury(w)
	w.line.cut()
	w.client.Close() // cannot reach the broker to leave
}

// stop ends a worker as SIGTERM does: its client closes.
func (w *worker) stop() {
	w.client.Close()
	w.fleet.bury(w)
}

func (f *fleet) bury(w *worker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.dead, w.holds = true, map[string][]int32{}
	f.workers = slices.DeleteFunc(f.workers, func(x *worker) bool { return x == w })
}

// owned is which numbers the worker holds, and how often it was called.
func (w *worker) owned() (own []int32, calls int) {
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	own, _ = wholeAndPart(w.holds, w.fleet.topics...)
	return own, w.calls
}

// settled waits until the workers own all numbers, within one, and returns how
// long that took from began to the last callback.
func (f *fleet) settled(what string, began time.Time) time.Duration {
	f.t.Helper()
	var took time.Duration
	f.await(what, func() bool {
		least, most, sum := numbers, 0, 0
		took = 0
		for _, w := range f.workers {
			own, _ := wholeAndPart(w.holds, f.topics...)
			least, most, sum = min(least, len(own)), max(most, len(own)), sum+len(own)
			took = max(took, w.got.Sub(began))
		}
		return sum == numbers && most-least <= 1
	})
	f.t.Logf("%s: settled after %.2f s", what, took.Seconds())
	return took
}

// await waits, with the fleet locked in each look, at most 30 s.
func (f *fleet) await(what string, ok func() bool) {
	f.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for {
		f.mu.Lock()
		is := ok()
		f.mu.Unlock()
		if is {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			f.t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// pass lets time go by.
func pass(d time.Duration) { <-time.After(d) }

// line is the network of one process, which can be cut.
type line struct {
	dial func(ctx context.Context, network, host string) (net.Conn, error)

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

var errCut = errors.New("the process is dead")

func (l *line) dialContext(ctx context.Context, network, host string) (net.Conn, error) {
	conn, err := l.dial(ctx, network, host)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		_ = conn.Close()
		return nil, errCut
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.conns {
		_ = c.Close()
	}
}
