//go:build synctests

package quota

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

// fleet is a broker, a vendor that counts, and replicas, in virtual time.
type fleet struct {
	t       *testing.T
	network *kfake.VirtualNetwork
	opts    []kgo.Opt
	topic   string // "" for the default
	limit   Limit
	began   time.Time

	mu     sync.Mutex
	vendor *vendor
	broken error
}

// replica is one process.
type replica struct {
	*fleet
	shares *Shares
	bucket *Bucket
	sent   atomic.Int64
	cut    atomic.Bool // from the network
	stop   context.CancelFunc
	sender context.CancelFunc
	done   sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

var errCut = errors.New("the network is cut")

func inFleet(t *testing.T, l Limit, test func(*fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SeedTopics(1, topics.Quota))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		opts, err := kafka.Options(kafka.Config{Brokers: cluster.ListenAddrs()})
		if err != nil {
			t.Fatal(err)
		}
		f := newFleet(t, l)
		f.network, f.opts = &network, opts
		test(f)
		f.audit()
	})
}

func newFleet(t *testing.T, l Limit) *fleet {
	t.Helper()
	return &fleet{t: t, limit: l, began: time.Now(), vendor: &vendor{limit: l, slack: 1, jitter: 25 * time.Millisecond}}
}

// audit is what the vendor says in the end.
func (f *fleet) audit() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		f.t.Error(f.broken)
	}
	for _, w := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second} {
		worst := f.vendor.worst(w)
		f.t.Logf("worst window of %v: %.3f of R*w + b", w, worst)
		if worst > 1 {
			f.t.Errorf("more than R*w + b in %v", w)
		}
	}
}

// start starts a replica that owns a fraction of the source and could send
// load tokens per second.
func (f *fleet) start(name string, load, fraction float64) *replica {
	f.t.Helper()
	r := &replica{fleet: f}
	cfg := Config{Instance: name, Topic: f.topic, Kafka: f.opts, Log: zap.NewNop()}
	if f.network != nil {
		cfg.Kafka = append(slices.Clone(f.opts), kgo.Dialer(r.dial))
	}
	shares, err := New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	r.shares = shares
	r.bucket = shares.Bucket(f.limit, func() float64 { return fraction })
	ctx, stop := context.WithCancel(context.Background())
	sending, sender := context.WithCancel(ctx)
	r.stop, r.sender = stop, sender
	r.done.Go(func() {
		if err := shares.Run(ctx); err != nil {
			f.t.Error(err)
		}
	})
	r.done.Go(func() { r.send(sending, rate.Limit(load)) })
	return r
}

func (r *replica) dial(ctx context.Context, network, host string) (net.Conn, error) {
	if r.cut.Load() {
		return nil, errCut
	}
	conn, err := r.network.DialContext(ctx, network, host)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, conn)
	return conn, err
}

// send is one that has records at a steady pace, behind which it queues.
func (r *replica) send(ctx context.Context, load rate.Limit) {
	every := time.Duration(float64(time.Second) / float64(load))
	for due := time.Now(); ; due = due.Add(every) {
		wait := time.Until(due)
		for ok := false; !ok; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(max(wait, 0)):
			}
			ok, wait = r.bucket.take(time.Now(), 1)
		}
		r.sent.Add(1)
		r.fleet.mu.Lock()
		if err := r.vendor.accept(time.Since(r.began), 1); err != nil && r.broken == nil {
			r.broken = err
		}
		r.fleet.mu.Unlock()
	}
}

// leave stops a replica in order.
func (r *replica) leave() {
	r.sender()
	r.stop()
	r.done.Wait()
}

// kill stops a replica at once: it says nothing more to anybody.
func (r *replica) kill() {
	r.sender()
	r.cut.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
}

func (r *replica) grants() bool {
	r.shares.mu.Lock()
	defer r.shares.mu.Unlock()
	return r.shares.peer.granter.reigns
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// used is the part of the quota that was used in a time from now on.
func (f *fleet) used(d time.Duration) float64 {
	from := time.Since(f.began)
	pass(d)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.vendor.used(from, from+d)
}

// TestSkewedReplicas: one replica has nearly all of the load, as it happens
// with few keys. The quota is used all the same, and never exceeded, while
// replicas join, leave and are killed.
func TestSkewedReplicas(t *testing.T) {
	t.Parallel()
	limit := Limit{Name: "account", Rate: 50, Burst: 50}
	inFleet(t, limit, func(f *fleet) {
		r := float64(limit.Rate)
		all := []*replica{f.start("a", 0.9*1.3*r, 1./3), f.start("b", 0.05*1.3*r, 1./3), f.start("c", 0.05*1.3*r, 1./3)}
		pass(15 * time.Second)
		steady := f.used(60 * time.Second)
		t.Logf("skewed 90/5/5, steady: %.3f of the quota used; a %d, b %d, c %d", steady, all[0].sent.Load(), all[1].sent.Load(), all[2].sent.Load())
		if steady < 0.95 {
			t.Errorf("used %.3f of the quota, want 0.95", steady)
		}

		joined := f.start("d", r, 0)
		before := time.Now()
		for joined.sent.Load() == 0 {
			pass(10 * time.Millisecond)
		}
		t.Logf("a replica that joins sends after %v", time.Since(before))
		if took := time.Since(before); took > 2*time.Second {
			t.Errorf("a replica that joins waits %v", took)
		}
		t.Logf("while it joins and after: %.3f used; d %d", f.used(20*time.Second), joined.sent.Load())
		joined.leave()
		left := f.used(20 * time.Second)
		t.Logf("after it left: %.3f used", left)
		if left < 0.95 {
			t.Errorf("used %.3f of the quota after a replica left", left)
		}

		granter := 0
		for i, r := range all {
			if r.grants() {
				granter = i
			}
		}
		all[granter].kill()
		killed := time.Now()
		heir := func() bool {
			for i, r := range all {
				if i != granter && r.grants() {
					return true
				}
			}
			return false
		}
		for !heir() {
			pass(10 * time.Millisecond)
		}
		took := time.Since(killed)
		t.Logf("killed the granter %d: another reigns after %v", granter, took)
		if took > session+5*time.Second {
			t.Errorf("no granter for %v", took)
		}
		pass(5 * time.Second)
		mark := all[(granter+1)%3].sent.Load() + all[(granter+2)%3].sent.Load()
		t.Logf("with two left: %.3f used", f.used(20*time.Second))
		if now := all[(granter+1)%3].sent.Load() + all[(granter+2)%3].sent.Load(); now == mark {
			t.Error("nothing is sent after the granter was killed")
		}
		for _, r := range all {
			r.leave()
		}
	})
}

// TestTheGranterIsKilledAndComesBack: under its static name it reigns at once,
// and grants at once, beside what was granted in its former life and what others
// allow themselves meanwhile, who hardly stand still. The embedded broker makes the others
// join again where their leader comes back, which costs a heartbeat of 1 s; a
// real one does not.
func TestTheGranterIsKilledAndComesBack(t *testing.T) {
	t.Parallel()
	limit := Limit{Name: "account", Rate: 100, Burst: 20}
	for _, away := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second} {
		inFleet(t, limit, func(f *fleet) {
			all := []*replica{f.start("a", 50, 1./3), f.start("b", 50, 1./3), f.start("c", 50, 1./3)}
			pass(15 * time.Second)
			granter := slices.IndexFunc(all, (*replica).grants)
			all[granter].kill()
			stood := make(chan time.Duration)
			other := all[(granter+1)%3]
			go func() { stood <- other.longestPause(8 * time.Second) }()
			pass(away)
			back := f.start(string(rune('a'+granter)), 50, 1./3)
			began := time.Now()
			for back.sent.Load() == 0 {
				pass(5 * time.Millisecond)
			}
			took, pause := time.Since(began), <-stood
			t.Logf("away for %v: sends %v after its start, others stand still for %v", away, took, pause)
			if took > 2*time.Second || pause > 600*time.Millisecond {
				t.Errorf("away for %v: sends %v after its start, others stand still for %v; want 2s and 0.6s", away, took, pause)
			}
			used := f.used(10 * time.Second)
			if used < 0.95 {
				t.Errorf("%.3f of the quota used after the granter came back", used)
			}
			for _, r := range append(all, back) {
				r.leave()
			}
		})
	}
}

// longestPause is the longest time within d in which the replica sent nothing.
func (r *replica) longestPause(d time.Duration) time.Duration {
	var longest time.Duration
	sent, since := r.sent.Load(), time.Now()
	for ends := time.Now().Add(d); time.Now().Before(ends); pass(5 * time.Millisecond) {
		if n := r.sent.Load(); n != sent {
			sent, since = n, time.Now()
		}
		longest = max(longest, time.Since(since))
	}
	return longest
}

// TestStaticShares: while there is no granter each replica has the part of the
// limit that its partitions are, after the last grants have ended; one that
// cannot reach the topic has none.
func TestStaticShares(t *testing.T) {
	t.Parallel()
	limit := Limit{Name: "account", Rate: 50, Burst: 50}
	inFleet(t, limit, func(f *fleet) {
		a, b := f.start("a", 100, 0.6), f.start("b", 100, 0.4)
		nobody := func() {
			for _, r := range []*replica{a, b} {
				r.shares.mu.Lock()
				r.shares.peer.granter.own(false)
				r.shares.mu.Unlock()
			}
		}
		pass(10 * time.Second)
		if used := f.used(10 * time.Second); used < 0.95 {
			t.Errorf("with a granter %.3f used", used)
		}
		nobody()
		pass(2 * Term)
		fromA, fromB := a.sent.Load(), b.sent.Load()
		used := f.used(20 * time.Second)
		nA, nB := a.sent.Load()-fromA, b.sent.Load()-fromB
		t.Logf("without a granter %.3f used: %d and %d of 1000", used, nA, nB)
		if nA < 580 || nA > 620 || nB < 385 || nB > 415 {
			t.Errorf("%d and %d sent, want 600 and 400", nA, nB)
		}
		b.cut.Store(true)
		b.mu.Lock()
		for _, c := range b.conns {
			_ = c.Close()
		}
		b.mu.Unlock()
		pass(Term)
		fromB = b.sent.Load()
		pass(5 * time.Second)
		if n := b.sent.Load() - fromB; n > 0 {
			t.Errorf("%d sent by a replica that cannot know what others have", n)
		}
		a.leave()
		b.leave()
	})
}

// TestAVendorLowersTheLimit: one replica hears it, all keep it.
func TestAVendorLowersTheLimit(t *testing.T) {
	t.Parallel()
	limit := Limit{Name: "account", Rate: 50, Burst: 10}
	inFleet(t, limit, func(f *fleet) {
		a, b := f.start("a", 100, 0.5), f.start("b", 100, 0.5)
		pass(15 * time.Second)
		a.bucket.SetRate(10)
		pass(2 * time.Second)
		lowered := f.used(20*time.Second) * 50
		t.Logf("%.2f/s after one replica heard of 10/s", lowered)
		if lowered > 10.5 || lowered < 9.5 {
			t.Errorf("%.2f/s of a limit lowered to 10/s", lowered)
		}
		a.bucket.SetRate(50)
		pass(2 * time.Second)
		if raised := f.used(20*time.Second) * 50; raised < 47.5 {
			t.Errorf("%.2f/s after the limit was raised again", raised)
		}
		a.leave()
		b.leave()
	})
}

// TestNothingWithoutATopic: no token is given that might be another's.
func TestNothingWithoutATopic(t *testing.T) {
	t.Parallel()
	inFleet(t, Limit{Name: "account", Rate: 50, Burst: 10}, func(f *fleet) {
		a := f.start("a", 100, 1)
		a.kill()
		ok, wait := a.bucket.take(time.Now(), 1)
		if ok || wait <= 0 || wait > maxWait {
			t.Errorf("took %v, wait %v", ok, wait)
		}
		a.leave()
	})
}

// TestOnRealKafka: the same skew, in real time.
func TestOnRealKafka(t *testing.T) {
	t.Parallel()
	brokers := os.Getenv("HOLDFAST_TEST_KAFKA")
	if brokers == "" {
		t.Skip("no real Kafka: `make test` starts one where a JDK and Maven are")
	}
	f := newFleet(t, Limit{Name: "account", Rate: 100, Burst: 25})
	opts, err := kafka.Options(kafka.Config{Brokers: strings.Split(brokers, ",")})
	if err != nil {
		t.Fatal(err)
	}
	f.opts, f.topic = opts, "holdfast.quota-"+uuid.NewString()[:8]
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(t.Context(), 1, -1, nil, f.topic); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := admin.DeleteTopics(context.Background(), f.topic); err != nil {
			t.Error(err)
		}
	}()
	all := []*replica{f.start("a", 0.9*130, 0), f.start("b", 0.05*130, 0), f.start("c", 0.05*130, 0)}
	for deadline := time.Now().Add(30 * time.Second); !slices.ContainsFunc(all, (*replica).grants); pass(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody became the granter")
		}
	}
	pass(2 * Term)
	used := f.used(10 * time.Second)
	t.Logf("skewed 90/5/5, steady: %.3f of the quota used", used)
	if used < 0.9 {
		t.Errorf("used %.3f of the quota, want 0.9", used)
	}
	for _, r := range all {
		r.leave()
	}
	f.audit()
}
