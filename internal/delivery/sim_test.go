//go:build synctests

package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/time/rate"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// sim plays one plan: brokers, a vendor that keeps the books, and workers that
// come, go and are killed, all in one bubble.
type sim struct {
	plan    plan
	bug     bug
	cluster *kfake.Cluster
	opts    []kgo.Opt // to the brokers, without a dialer
	dial    func(ctx context.Context, network, host string) (net.Conn, error)
	client  *kgo.Client
	began   time.Time
	ended   time.Duration // when the last step and the last event were over
	slots   map[string]*proc
	all     []*proc
	faults  []armed
	words   words

	mu      sync.Mutex
	limit   *quota.Bucket // of all workers together, as if sharing took no time; nil for none
	books   ledger
	outages []downtime
	broken  string // what went wrong outside of the books
}

// armed is a fault that was given to the brokers.
type armed struct {
	name   string
	at     time.Duration
	handle *kfake.FaultHandle
}

type downtime struct {
	kind        string
	from, until time.Duration
}

// bug is a planted one. Nil fields plant nothing.
type bug struct {
	config  func(*Config)
	cluster func(*kfake.Cluster)
	before  func(p *proc, a *sinks.Attempt) // before the vendor is called
	failed  func(p *proc, a *sinks.Attempt) // when the call failed
	key     func(a *sinks.Attempt) string
	free    bool // only the first request of an attempt is asked for
	early   bool // a request is told as sent before it has its connection
	deaf    bool // a worker does not heed what others were told to wait for
}

// Times of the model. The tiers are short so that a plan is.
const (
	simTimeout = 2 * time.Second
	simMaxHold = 4 * time.Second
	simBurst   = 3
	simQuiet   = 4 * time.Minute // after the last step, for everything to settle
)

func simTiers() []time.Duration {
	return []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
}

// play runs a plan in a bubble of its own and says what was wrong, "" for nothing.
func play(t *testing.T, p plan, b bug, suite *hits) (wrong string) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		var vn kfake.VirtualNetwork
		cfg := Config{Sink: "s", Source: source, Tiers: simTiers()}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094), kfake.ListenFn(vn.Listen),
			kfake.SeedTopics(2, append(newLayout(cfg).names, topics.DeadLetters("s"), topics.Dispositions)...))
		if err != nil {
			wrong = err.Error()
			return
		}
		defer cluster.Close()
		answerEpochs(cluster)
		if b.cluster != nil {
			b.cluster(cluster)
		}
		opts, err := kafka.Options(kafka.Config{Brokers: cluster.ListenAddrs()})
		if err != nil {
			wrong = err.Error()
			return
		}
		s := &sim{
			plan: p, bug: b, cluster: cluster, opts: opts, began: time.Now(), slots: map[string]*proc{},
			dial: vn.DialContext,
		}
		s.books = newLedger(p)
		if p.rate > 0 {
			s.limit = quota.Local(quota.Limit{Name: "s", Rate: rate.Limit(p.rate), Burst: simBurst})
		}
		s.client, err = kgo.NewClient(append(opts, kgo.Dialer(s.dial), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			wrong = err.Error()
			return
		}
		defer s.client.Close()
		wrong = s.run()
		for _, f := range s.faults {
			suite.add(f.name, f.handle.Hits())
		}
	})
	return wrong
}

// run plays the plan to its end, and what was delivered after a last orderly
// restart, which has to be nothing.
func (s *sim) run() string {
	s.start("first")
	onCall, goHome := context.WithCancel(context.Background())
	var office sync.WaitGroup
	if s.plan.park {
		office.Go(func() { s.onCall(onCall) })
	}
	defer office.Wait()
	defer goHome()
	produced := make(chan struct{})
	go func() {
		defer close(produced)
		s.produceAll()
	}()
	for _, step := range s.plan.steps {
		if d := step.at - s.now(); d > 0 {
			pass(d)
		}
		s.take(step)
	}
	<-produced
	for name, p := range s.slots {
		if p.until > 0 {
			s.start(name)
		}
	}
	s.mu.Lock()
	s.ended = s.now()
	for _, o := range s.outages {
		s.ended = max(s.ended, o.until)
	}
	s.mu.Unlock()
	quiet := s.await()
	if quiet == "" {
		for _, name := range []string{"second", "first"} {
			s.stop(name)
		}
		s.note(kindRestart, nil)
		pass(100 * time.Millisecond)
		s.start("first")
		pass(3 * time.Second)
		s.note(kindEnd, nil)
	}
	for name := range s.slots {
		s.stop(name)
	}
	for _, p := range s.all {
		<-p.done
	}
	if quiet != "" {
		return quiet + "\n" + s.books.String()
	}
	goHome()
	office.Wait()
	letters, err := s.letters()
	if err != nil {
		return err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != "" {
		return s.broken
	}
	if wrong := s.books.check(letters); wrong != "" {
		return wrong + "\n" + s.books.String()
	}
	return ""
}

// await waits until everything is settled.
func (s *sim) await() string {
	limit := s.ended + simQuiet
	for s.now() < limit {
		s.mu.Lock()
		open := s.books.unsettled()
		s.mu.Unlock()
		if len(open) == 0 {
			pass(time.Second) // for moves and commits
			return ""
		}
		pass(250 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("lost or stuck: events %v are not settled %s after the last step", s.books.unsettled(), simQuiet)
}

func (s *sim) now() time.Duration { return time.Since(s.began) }

func (s *sim) produceAll() {
	for i, e := range s.plan.events {
		if e.after > 0 {
			pass(e.after)
		}
		r := &kgo.Record{
			Topic: source, Partition: int32(e.key % 2), Key: []byte("k" + strconv.Itoa(e.key)), Value: []byte{0},
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(strconv.Itoa(i))}},
		}
		for { // a producer does not give up
			err := s.client.ProduceSync(context.Background(), r).FirstErr()
			if err == nil {
				break
			}
			pass(100 * time.Millisecond)
		}
	}
}

// take does one step.
func (s *sim) take(st step) {
	for name, p := range s.slots { // back after their kill?
		if p.until > 0 && s.now() >= p.until {
			s.start(name)
		}
	}
	switch st.kind {
	case killFirst:
		s.kill("first", st.span)
	case killSecond:
		s.kill("second", st.span)
	case stopFirst:
		s.stop("first")
		pass(min(st.span, time.Second))
		s.start("first")
	case joinSecond:
		if s.slots["second"] == nil {
			s.note(kindRebalance, nil)
			s.start("second")
		}
	case stopSecond:
		s.stop("second")
	case moveLeaders:
		s.note(kindDisturbed, nil)
		s.cluster.ShufflePartitionLeaders()
	case moveGroup:
		s.note(kindDisturbed, nil)
		s.cluster.RehashCoordinators()
	case outageOf5xx, outageHangs:
		s.mu.Lock()
		s.outages = append(s.outages, downtime{st.kind, s.now(), s.now() + st.span})
		s.mu.Unlock()
	default:
		s.note(kindDisturbed, nil)
		fault := armed{st.kind, s.now(), s.cluster.Fault(brokerFaults()[st.kind])}
		s.mu.Lock()
		s.faults = append(s.faults, fault)
		s.mu.Unlock()
	}
}

// outageNow returns the kind of the outage that there is, "" for none.
func (s *sim) outageNow(at time.Duration) string {
	for _, o := range s.outages {
		if o.from <= at && at < o.until {
			return o.kind
		}
	}
	return ""
}

// letters reads the dead-letter topic.
func (s *sim) letters() ([]*record.Envelope, error) {
	c, err := kgo.NewClient(append(s.opts, kgo.Dialer(s.dial), kgo.ConsumeTopics(topics.DeadLetters("s")), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var all []*record.Envelope
	for silent := 0; ; {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		fetches := c.PollFetches(ctx)
		cancel()
		for _, r := range fetches.Records() {
			all = append(all, record.Read(r, record.FromHoldfast))
		}
		if fetches.NumRecords() > 0 {
			silent = 0
		} else if silent++; silent == 4 { // a fault that was left over may look like the end
			return all, nil
		}
	}
}

// proc is one process: a worker with a network of its own. It is the sink, too.
type proc struct {
	sim    *sim
	name   string
	worker *Worker
	wire   *wire
	cancel context.CancelFunc
	done   chan struct{}
	killed chan struct{}
	until  time.Duration // when it is to be started again; 0: it lives
}

func (s *sim) start(name string) {
	cfg := Config{
		Sink: "s", Source: source, Instance: name, Ordered: true, Tiers: simTiers(),
		Concurrency: s.plan.concurrency, Timeout: simTimeout, MaxHold: simMaxHold, Park: s.plan.park,
	}
	if s.bug.config != nil {
		s.bug.config(&cfg)
	}
	p := &proc{sim: s, name: name, wire: &wire{dial: s.dial}, done: make(chan struct{}), killed: make(chan struct{})}
	reg := prometheus.NewRegistry()
	worker, err := New(cfg, Deps{
		Sink: p, Open: openAny, Kafka: append(slices.Clip(s.opts), kgo.Dialer(p.wire.dialContext)), Limit: s.limit,
		Log: s.listen(), Metrics: NewMetrics(reg, kafka.NewCounters(reg)),
	})
	if err != nil {
		panic(err)
	}
	p.worker = worker
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	s.slots[name] = p
	s.all = append(s.all, p)
	s.note(kindStart, p)
	p.heed()
	go func() {
		defer close(p.done)
		if err := worker.Run(ctx); err != nil {
			s.mu.Lock()
			s.broken = err.Error()
			s.mu.Unlock()
		}
	}()
}

// listen is a log that notes when a worker loses what it owns: what it knew of
// holds and moves under way is gone with that.
func (s *sim) listen() *zap.Logger {
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zapcore.WarnLevel)
	return zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		if e.Message == "partitions lost" {
			s.note(kindRebalance, nil)
		}
		return nil
	}))
}

func openAny(context.Context, string, []byte, []holdfast.Header) (holdfast.Value, error) {
	return value{}, nil
}

// kill ends a process as SIGKILL does, to be started again after a while.
func (s *sim) kill(name string, back time.Duration) {
	p := s.slots[name]
	if p == nil || p.until > 0 {
		return
	}
	s.note(kindKill, p)
	close(p.killed)
	p.wire.kill()
	p.cancel()
	p.until = s.now() + back
}

// stop ends a process as SIGTERM does.
func (s *sim) stop(name string) {
	p := s.slots[name]
	if p == nil {
		return
	}
	delete(s.slots, name)
	if p.until > 0 {
		return
	}
	s.note(kindStop, p)
	p.cancel()
	<-p.done
}

// note writes into the books what happened.
func (s *sim) note(kind string, p *proc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.books.note(kind, p, s.now(), s.pending())
}

// pending reports whether a fault waits to happen.
func (s *sim) pending() bool {
	for _, f := range s.faults {
		if f.handle.Hits() < brokerFaults()[f.name].Count {
			return true
		}
	}
	return false
}

var errKilled = errors.New("the process was killed")

// Deliver is the vendor, as one process sees it.
func (p *proc) Deliver(ctx context.Context, a *sinks.Attempt) error {
	select {
	case <-p.killed:
		return errKilled
	default:
	}
	s := p.sim
	if s.bug.before != nil {
		s.bug.before(p, a)
	}
	key := a.Key("")
	if s.bug.key != nil {
		key = s.bug.key(a)
	}
	i, err := strconv.Atoi(a.Event.ID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	c, reply, latency := s.books.begin(p, i, a.Number, key, s.now(), s.outageNow(s.now()))
	s.mu.Unlock()
	if err = p.requests(ctx, a, s.plan.events[i]); err == nil {
		err = p.answer(ctx, reply, latency)
	}
	s.mu.Lock()
	s.books.end(c, err, s.now())
	s.mu.Unlock()
	if err != nil && s.bug.failed != nil {
		s.bug.failed(p, a)
	}
	return err
}

// requests sends what an attempt sends, up to its last request. A process that
// was killed takes no tokens any more.
func (p *proc) requests(ctx context.Context, a *sinks.Attempt, e event) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		defer end()
		select {
		case <-p.killed:
		case <-ctx.Done():
		}
	}()
	for i := range e.requests {
		if i > 0 {
			if err := p.answer(ctx, trouble{}, 5*time.Millisecond); err != nil {
				return err
			}
		}
		let := p.sim.now()
		if i == 0 || !p.sim.bug.free {
			if err := a.Gate.Pass(ctx, e.path(i), 1); err != nil {
				select {
				case <-p.killed:
					return errKilled
				default:
					return err
				}
			}
			let = p.sim.now()
			if p.sim.bug.early {
				a.Gate.Sent()
			}
			if i == 0 && e.connects > 0 {
				if err := p.answer(ctx, trouble{}, e.connects); err != nil {
					return err
				}
			}
			a.Gate.Sent()
		}
		p.sim.mu.Lock()
		p.sim.books.sent(p, e.path(i), let, p.sim.now())
		p.sim.mu.Unlock()
	}
	return nil
}

// answer waits and says what the vendor says.
func (p *proc) answer(ctx context.Context, reply trouble, latency time.Duration) error {
	if reply.kind == hang || reply.kind == lost {
		latency = time.Hour
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-p.killed:
		return errKilled
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return reply.verdict()
	}
}

// verdict is what a sink makes of an answer.
func (t trouble) verdict() error {
	throttled := func(scope holdfast.Scope) error {
		return &holdfast.ThrottledError{
			Failure: holdfast.Failure{Class: holdfast.ClassRateLimited, Status: 429, Err: errVendor}, Wait: t.wait, Scope: scope,
		}
	}
	switch t.kind {
	case "":
		return nil
	case refusal:
		return &holdfast.PermanentError{Failure: holdfast.Failure{Class: holdfast.ClassValidation, Status: 422, Code: "refused", Err: errVendor}}
	case lock:
		return conflict()
	case err5xx:
		return outage()
	case reset:
		return holdfast.Transient(holdfast.ClassNetwork, errVendor)
	case down:
		return &holdfast.UnavailableError{Failure: holdfast.Failure{Class: holdfast.ClassVendor5xx, Status: 503, Err: errVendor}}
	case account:
		return throttled(holdfast.ScopeAccount)
	case tenanted:
		return throttled(holdfast.ScopeTenant)
	case atEndpoint:
		return throttled(holdfast.ScopeEndpoint)
	default:
		return throttled(holdfast.ScopeRecord)
	}
}
