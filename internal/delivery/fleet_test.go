//go:build synctests

package delivery

import (
	"context"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/topics"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/sinks"
	"holdfast.internal/sinks/sinktest"
	"holdfast.internal/sinks/stripe"
)

// fleet is a broker, a simulated Stripe and replicas that share a limit, in
// virtual time.
type fleet struct {
	t       *testing.T
	network *kfake.VirtualNetwork
	opts    []kgo.Opt
	client  *kgo.Client
	vendor  *vendorsim.Server
	began   time.Time

	mu      sync.Mutex
	counts  counted
	refused counted // with 429
}

const fleetPartitions = 12

func inFleet(t *testing.T, vendor vendorsim.Options, test func(*fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t, network: &kfake.VirtualNetwork{}, began: time.Now()}
		all := slices.Concat(newLayout(fleetConfig()).names, []string{topics.DeadLetters("s")})
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(f.network.Listen),
			kfake.SeedTopics(fleetPartitions, all...), kfake.SeedTopics(1, topics.Quota))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		if f.opts, err = kafka.Options(kafka.Config{Brokers: cluster.ListenAddrs()}); err != nil {
			t.Fatal(err)
		}
		f.opts = append(f.opts, kgo.Dialer(f.network.DialContext))
		if f.client, err = kgo.NewClient(append(slices.Clip(f.opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))...); err != nil {
			t.Fatal(err)
		}
		defer f.client.Close()
		if vendor.Listener, err = f.network.Listen("tcp", "127.0.0.1:8080"); err != nil {
			t.Fatal(err)
		}
		if f.vendor, err = vendorsim.Start(vendor); err != nil {
			t.Fatal(err)
		}
		defer f.vendor.Close()
		test(f)
	})
}

func fleetConfig() Config {
	return Config{Sink: "s", Source: source, Ordered: true, Concurrency: 16, Tiers: []time.Duration{time.Minute}}
}

// count counts requests as they leave; an answer takes a while.
func (f *fleet) count(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		f.mu.Lock()
		f.counts.add(time.Since(f.began), 1)
		f.mu.Unlock()
		pass(30 * time.Millisecond)
		answer, err := next.RoundTrip(r)
		if err == nil && answer.StatusCode == http.StatusTooManyRequests {
			f.mu.Lock()
			f.refused.add(time.Since(f.began), 1)
			f.mu.Unlock()
		}
		return answer, err
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// replica starts a worker with what fill gives it, beside what shares its
// limits; what it returns stops both.
func (f *fleet) replica(cfg Config, fill func(d *Deps, shares *quota.Shares, share func() float64)) (stop func()) {
	f.t.Helper()
	shares, err := quota.New(quota.Config{Kafka: f.opts, Log: zap.NewNop()})
	if err != nil {
		f.t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	deps := Deps{Open: openAny, Kafka: f.opts, Log: zap.NewNop(), Metrics: NewMetrics(reg, kafka.NewCounters(reg))}
	var worker *Worker
	fill(&deps, shares, func() float64 { return worker.Share() })
	if worker, err = New(cfg, deps); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = shares.Run(ctx) })
	running.Go(func() {
		if err := worker.Run(ctx); err != nil {
			f.t.Error(err)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// start starts a replica of Stripe's sink; what it returns stops it.
func (f *fleet) start(l *quota.Limit) (stop func()) {
	f.t.Helper()
	transport := &http.Transport{DialContext: f.network.DialContext}
	sink, err := stripe.New(stripe.Config{BaseURL: "http://127.0.0.1:8080", Auth: stripe.Auth{APIKey: "sk_test_fleet"}},
		sinks.Deps{Name: "s", HTTP: sinks.ClientOver(f.count(transport), 30*time.Second), Concurrency: 16})
	if err != nil {
		f.t.Fatal(err)
	}
	leave := f.replica(fleetConfig(), func(d *Deps, shares *quota.Shares, share func() float64) {
		d.Sink, d.Open = sink, command
		if l != nil {
			d.Limit = shares.Bucket(*l, share)
		}
	})
	return func() {
		leave()
		transport.CloseIdleConnections()
	}
}

// command decodes an event as what the Stripe sink makes an invoice of: two
// lines, so six requests.
func command(_ context.Context, _ string, wire []byte, _ []holdfast.Header) (holdfast.Value, error) {
	who := string(wire)
	return sinktest.Value{Name: "billing.InvoiceCommand", Record: map[string]any{
		"invoice_id": "R-" + who, "description": nil, "currency": "EUR", "days_until_due": int32(30),
		"customer": map[string]any{"id": "c-" + who, "name": "Ada", "email": "ada" + who + "@example.com", "phone": nil},
		"lines": []any{
			map[string]any{"description": "one", "amount": big.NewRat(1999, 100)},
			map[string]any{"description": nil, "amount": big.NewRat(5, 1)},
		},
	}}, nil
}

// produce writes n events, nine tenths of them to one partition.
func (f *fleet) produce(n int) {
	f.t.Helper()
	for i := range n {
		text := strconv.Itoa(i)
		partition := int32(0)
		if i%10 == 0 {
			partition = int32(i / 10 % fleetPartitions)
		}
		f.client.Produce(f.t.Context(), &kgo.Record{
			Topic: source, Partition: partition, Key: []byte(text), Value: []byte(text),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(text)}},
		}, nil)
	}
	if err := f.client.Flush(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) invoices() (n int) {
	for _, a := range f.vendor.Applied() {
		if a.Object == "invoice" {
			n++
			if a.Applies != 1 {
				f.t.Errorf("invoice %s took effect %d times", a.BusinessKey, a.Applies)
			}
		}
	}
	return n
}

// TestP6ThreeReplicasOfStripeKeepALimitOfRequests: what is limited are the six
// requests of an invoice, not the invoice.
func TestP6ThreeReplicasOfStripeKeepALimitOfRequests(t *testing.T) {
	t.Parallel()
	const perSecond, burst, events = 60, 15, 900
	inFleet(t, vendorsim.Options{}, func(f *fleet) {
		limit := &quota.Limit{Name: "s", Rate: perSecond, Burst: burst}
		f.produce(events)
		for range 3 {
			defer f.start(limit)()
		}
		pass(30 * time.Second)
		from := time.Since(f.began)
		pass(60 * time.Second)
		to := time.Since(f.began)
		f.mu.Lock()
		used := f.counts.sum(from, to) / (60 * perSecond)
		for _, w := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second} {
			most := perSecond*(w.Seconds()+0.025) + burst
			t.Logf("worst window of %s: %.3f of R*w + b", w, 1+f.counts.overdrawn(w, perSecond, burst)/most)
		}
		f.counts.keeps(t, "the account", perSecond, burst)
		f.mu.Unlock()
		t.Logf("skewed 90/10, steady: %.3f of the limit used", used)
		if used < 0.95 {
			t.Errorf("%.3f of the limit used", used)
		}
		pass(30 * time.Second)
		if got := f.invoices(); got != events {
			t.Errorf("%d invoices of %d events", got, events)
		}
	})
}

// TestP5AVendorThatNamesNoNumberIsFound: it refuses with 429 and without
// Retry-After, and takes less than is configured, or nothing is (fault matrix 33).
func TestP5AVendorThatNamesNoNumberIsFound(t *testing.T) {
	t.Parallel()
	const takes = 40
	for name, c := range map[string]struct {
		limit    *quota.Limit
		replicas int
		settles  time.Duration
		share    float64 // of the requests that is refused, at most
		used     float64 // at least
	}{
		"no limit configured": {nil, 1, time.Minute, 0.01, 0.8},
		// Each finds its part alone; after half a minute two have sent what they
		// had, and the third has to find the whole.
		"no limit configured, three replicas": {nil, 3, 2 * time.Minute, 0.01, 0.5},
		"five times as much, three replicas":  {&quota.Limit{Name: "s", Rate: 5 * takes, Burst: takes}, 3, time.Minute, 0.01, 0.8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFleet(t, vendorsim.Options{Rate: takes}, func(f *fleet) {
				f.produce(2000)
				for range c.replicas {
					defer f.start(c.limit)()
				}
				pass(c.settles)
				from := time.Since(f.began)
				pass(c.settles) // as long again: of 40 requests a second, a share needs many
				to := time.Since(f.began)
				f.mu.Lock()
				defer f.mu.Unlock()
				storm := f.refused.sum(0, from) / f.counts.sum(0, from)
				share := f.refused.sum(from, to) / f.counts.sum(from, to)
				used := (f.counts.sum(from, to) - f.refused.sum(from, to)) / (to - from).Seconds() / takes
				t.Logf("429 share %.2f %% until it has settled, %.2f %% after it; %.2f of the real limit used", 100*storm, 100*share, used)
				if storm == 0 {
					t.Error("no refusal: nothing was shown")
				}
				if share >= c.share || used < c.used {
					t.Errorf("429 share %.2f %%, %.2f of the real limit used", 100*share, used)
				}
			})
		})
	}
}

// TestP5AnEndpointThatNamesNoNumberIsFound: Stripe refuses what is too much for
// one endpoint, without Retry-After. Each invoice asks for it twice.
func TestP5AnEndpointThatNamesNoNumberIsFound(t *testing.T) {
	t.Parallel()
	const takes = 10
	inFleet(t, vendorsim.Options{EndpointRate: takes}, func(f *fleet) {
		f.produce(2000)
		defer f.start(nil)()
		pass(time.Minute)
		before, from := f.invoices(), time.Since(f.began)
		pass(2 * time.Minute)
		after, to := f.invoices(), time.Since(f.began)
		f.mu.Lock()
		defer f.mu.Unlock()
		share := f.refused.sum(from, to) / f.counts.sum(from, to)
		used := float64(after-before) * 2 / (to - from).Seconds() / takes
		each := f.counts.sum(from, to) / float64(after-before)
		t.Logf("429 share %.2f %%, %.2f of the real limit used, %.1f requests for an invoice of six", 100*share, used, each)
		if share >= 0.03 || used < 0.8 || each > 7 {
			t.Errorf("429 share %.2f %%, %.2f of the real limit used, %.1f requests for an invoice of six", 100*share, used, each)
		}
	})
}

// TestP6AShareIsUsedWhenItComes, and not a quarter of a second later, when who
// was told to wait asks again.
func TestP6AShareIsUsedWhenItComes(t *testing.T) {
	t.Parallel()
	inFleet(t, vendorsim.Options{}, func(f *fleet) {
		f.produce(50)
		var grown atomic.Int64
		stop := f.replica(fleetConfig(), func(d *Deps, shares *quota.Shares, share func() float64) {
			d.Limit = shares.Bucket(quota.Limit{Name: "s", Rate: 50, Burst: 5}, share)
			d.Limit.OnGrowth(func() { grown.CompareAndSwap(0, int64(time.Since(f.began))) })
			d.Sink = sinks.Func(func(context.Context, *sinks.Attempt) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.counts.add(time.Since(f.began), 1)
				return nil
			})
		})
		pass(10 * time.Second)
		stop()
		if grown.Load() == 0 || len(f.counts.at) == 0 {
			t.Fatalf("the share grew at %v, %d records were sent", time.Duration(grown.Load()), len(f.counts.at))
		}
		if after := f.counts.at[0] - time.Duration(grown.Load()); after > 50*time.Millisecond {
			t.Errorf("the first record is sent %v after the first share", after)
		}
	})
}
