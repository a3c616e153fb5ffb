package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/delivery"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/processing"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/registry"
	"holdfast.internal/internal/sinkstate"
	"holdfast.internal/internal/topics"
	"holdfast.internal/internal/watch"
	"holdfast.internal/schemas"
	"holdfast.internal/sinks"
)

// runner is a part of the application that works until its context ends.
type runner struct {
	name  string
	group string // consumer group; "" for none
	run   func(context.Context) error
	ready <-chan struct{} // nil: at once
	// trouble says why the part is not ready although it has started, "" where
	// nothing is wrong; nil: never.
	trouble func() string
}

// app is a configuration at work.
type app struct {
	conn    *connection
	log     *zap.Logger
	runners []runner
	groups  []watch.Group
	metrics *prometheus.Registry
	leaver  string                   // static name whose memberships end with the process; "" keeps them
	shares  *quota.Shares            // nil where no limit is shared
	local   map[string]*quota.Bucket // by limit, where they are not
	close   []func()

	server *http.Server
	url    string
	mu     sync.Mutex
	isUp   bool
}

// newApp builds everything that the selection asks for and starts to serve
// metrics and health. [app.run] does the work.
func newApp(ctx context.Context, cfg *config.Config, sel selection, log *zap.Logger) (*app, error) {
	metrics := prometheus.NewRegistry()
	conn, err := connect(ctx, cfg, kafka.Measured(metrics, "holdfast"))
	if err != nil {
		return nil, err
	}
	a := &app{conn: conn, log: log, metrics: metrics}
	a.close = append(a.close, conn.close)
	if sel.leave {
		a.leaver = sel.instance
	}
	if err := a.build(ctx, cfg, sel); err != nil {
		a.shut()
		return nil, err
	}
	return a, nil
}

func (a *app) build(ctx context.Context, cfg *config.Config, sel selection) error {
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	throttles, err := a.ask(ctx, cfg, sel)
	if err != nil {
		return err
	}
	counters := kafka.NewCounters(a.metrics)
	if err := a.addProcessors(cfg, sel, counters); err != nil {
		return err
	}
	if err := a.shareLimits(cfg, sel); err != nil {
		return err
	}
	if err := a.addSinks(cfg, sel, counters, throttles); err != nil {
		return err
	}
	if cfg.Outbox.Kind != "" && sel.has("outbox") {
		if err := a.addOutbox(cfg.Outbox, counters); err != nil {
			return err
		}
	}
	if len(a.groups) > 0 {
		w := watch.New(watch.Config{Groups: a.groups, Kafka: a.conn.opts, Admin: a.conn.admin, Log: a.log}, a.metrics)
		a.runners = append(a.runners, runner{name: "watch", run: w.Run})
	}
	return a.serve(ctx, cfg.HTTP.Listen)
}

func (a *app) addProcessors(cfg *config.Config, sel selection, counters *kafka.Counters) error {
	metrics := processing.NewMetrics(a.metrics, counters)
	for _, p := range cfg.Processors {
		if !sel.processor(p.Name) {
			continue
		}
		processor, ok := processorTypes()[p.Name]
		if !ok {
			continue // the configuration was checked against the same list
		}
		r, err := processing.New(
			processing.Config{Name: p.Name, In: p.In, Out: p.Out, Instance: sel.instance},
			processing.Deps{Processor: processor.Processor, Serde: a.conn.serde, Kafka: a.conn.opts, Log: a.log, Metrics: metrics}, randomName())
		if err != nil {
			return err
		}
		a.groups = append(a.groups, watch.Group{Name: p.Name, Source: p.In, Parts: r.Parts})
		a.runners = append(a.runners, runner{name: "processor " + p.Name, group: topics.Group(p.Name), run: r.Run, ready: r.Ready()})
	}
	return nil
}

func (a *app) addSinks(cfg *config.Config, sel selection, counters *kafka.Counters, throttles map[string]sinkstate.Throttle) error {
	metrics, limits := delivery.NewMetrics(a.metrics, counters), quota.NewMetrics(a.metrics)
	workers := map[string]*delivery.Worker{}
	for _, s := range cfg.Sinks {
		if !sel.sink(s.Name) {
			continue
		}
		settings, err := deliveryConfig(cfg, s, sel)
		if err != nil {
			return err
		}
		var worker *delivery.Worker
		share := func() float64 { return worker.Share() }
		limit, endpoints := a.limits(cfg, s, sel, share)
		sink, err := openSink(s, sinks.Deps{
			Name: s.Name,
			HTTP: sinks.NewClient(cfg.Egress, sinks.ClientOptions{Timeout: s.Timeout, Concurrency: s.Limits.Concurrency}),
			Log:  a.log, Concurrency: s.Limits.Concurrency, DailyHeader: s.Limits.Daily.Header,
			Schema: func(record string) (string, error) {
				v, err := schemas.Latest(record)
				return v.Text, err
			},
		})
		if err != nil {
			return err
		}
		if c, ok := sink.(interface{ Close() error }); ok {
			a.close = append(a.close, func() { _ = c.Close() })
		}
		settings.Timeout = attemptTime(sink, s.Timeout)
		worker, err = delivery.New(settings, delivery.Deps{
			Sink: sink, Open: a.conn.serde.Open, Kafka: a.conn.opts, Limit: limit, Endpoints: endpoints, Tenants: a.tenantLimits(s, sel, share),
			Receipts: a.conn.client, Log: a.log, Metrics: metrics,
		})
		if err != nil {
			return err
		}
		worker.Heed(throttles[s.Name], "before the start")
		limits.Watch(s.Name, worker.Limit())
		a.groups = append(a.groups, watch.Group{Name: s.Name, Source: s.In, Tiers: s.Retry.Tiers, Parts: worker.Parts})
		a.runners = append(a.runners, runner{name: "sink " + s.Name, group: topics.Group(s.Name), run: worker.Run, ready: worker.Ready(), trouble: worker.Trouble})
		workers[s.Name] = worker
	}
	a.addStanding(workers)
	return nil
}

// deliveryConfig is what the engine needs of a sink's configuration.
func deliveryConfig(cfg *config.Config, s config.Sink, sel selection) (delivery.Config, error) {
	from, err := delivery.ParseFrom(sel.from)
	c := delivery.Config{
		Sink: s.Name, Source: s.In, Instance: sel.instance, From: from,
		BrokerBalances: cfg.Kafka.GroupProtocol == config.ConsumerProtocol, Tiers: s.Retry.Tiers,
		Ordered: s.Ordering == "key", Concurrency: s.Limits.Concurrency,
		MaxHold: s.Limits.MaxHold, MaxAge: s.Retry.MaxAge, DeadLetterBudget: s.Breaker.DeadLetterBudget,
		TenantConcurrency: s.Limits.PerTenant.Concurrency,
		OnTombstone:       delivery.Tombstones(s.OnTombstone), FromLatest: s.Start == "latest",
		Park: s.OnDeadLetter == config.Park, EveryFailureSpends: !s.Breaker.Enabled, MaxSuspect: s.Breaker.MaxSuspect,
		CompatHeaders: s.DLQ.CompatHeaders,
	}
	switch kind, name, _ := strings.Cut(s.Tenant, ":"); kind {
	case "header":
		c.TenantHeader = name
	case "field":
		c.TenantField = name
	}
	return c, err
}

// attemptTime is how long an attempt may take whose requests may take timeout
// each: one of a sink of several steps makes several.
func attemptTime(sink sinks.Sink, timeout time.Duration) time.Duration {
	if b, ok := sink.(sinks.Bounded); ok {
		return b.AttemptTime()
	}
	return max(delivery.DefaultTimeout, 4*timeout)
}

// serve answers metrics and health on listen; "" means nowhere.
func (a *app) serve(ctx context.Context, listen string) error {
	if listen == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return exit(exitFailed, fmt.Errorf("http.listen: %w", err)) // not 4, which is for brokers out of reach
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.up() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		if why := a.trouble(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	a.url = "http://" + l.Addr().String()
	go func() { _ = a.server.Serve(l) }()
	a.close = append(a.close, func() { _ = a.server.Close() })
	return nil
}

func (a *app) up() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.isUp
}

// trouble lists what is not ready although it has started, one part a line.
func (a *app) trouble() string {
	var all []string
	for _, r := range a.runners {
		if r.trouble == nil {
			continue
		}
		if why := r.trouble(); why != "" {
			all = append(all, r.name+": "+why)
		}
	}
	return strings.Join(all, "\n")
}

// run works until ctx ends or a part fails; ready is called once all parts
// accept work.
func (a *app) run(ctx context.Context, ready func()) error {
	defer a.shut()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(a.runners)+1)
	stopShares := a.runShares(ctx, errs)
	var wg sync.WaitGroup
	for _, r := range a.runners {
		wg.Go(func() {
			if err := r.run(ctx); err != nil {
				errs <- fmt.Errorf("%s: %w", r.name, err)
				a.stay()
				cancel()
			}
			a.leave(ctx, r.group)
		})
	}
	wg.Go(func() {
		for _, r := range a.runners {
			if r.ready == nil {
				continue
			}
			select {
			case <-r.ready:
			case <-ctx.Done():
				return
			}
		}
		a.mu.Lock()
		a.isUp = true
		a.mu.Unlock()
		ready()
	})
	wg.Wait()
	stopShares()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// runShares starts to share limits; what it returns ends that, after all that
// sends has ended.
func (a *app) runShares(ctx context.Context, errs chan<- error) (stop func()) {
	if a.shares == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.shares.Run(ctx); err != nil {
			errs <- fmt.Errorf("shared limits: %w", err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
		a.leave(ctx, topics.Quota) // the group is named after its topic
	}
}

func (a *app) shut() {
	for _, f := range slices.Backward(a.close) {
		f()
	}
	a.close = nil
}

func randomName() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// registerSchemas registers all that is compiled in.
func registerSchemas(ctx context.Context, cfg *config.Config) ([]registry.Registered, error) {
	client, err := registry.NewClient(registryConfig(cfg))
	if err != nil {
		return nil, err
	}
	return registry.Register(ctx, client, schemas.Files(), schemas.Topics())
}
