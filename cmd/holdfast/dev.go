package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/term"
	"golang.org/x/time/rate"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/embedded"
	"holdfast.internal/internal/example"
	"holdfast.internal/internal/lookup"
	"holdfast.internal/internal/topics"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/producers/outbox"
)

const (
	defaultDataDir = ".holdfast"
	devOutbox      = "outbox.db"
	devWarehouse   = "warehouse.db"
	devPartitions  = 4
)

// devOptions are the flags of dev.
type devOptions struct {
	data      string
	ephemeral bool
	traffic   float64
	tiers     string
	listen    string
	readyFile string
}

func devCommand(g *globals) *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process: Kafka, registry, a simulated Stripe, both flows",
		Long: `Needs no network and no other program. It prints what runs where and what to try.
Other commands find it in the same folder; with another --data DIR, by --config DIR.`,
		Example: `  holdfast dev
  holdfast dev --tiers 1s,2s,4s --traffic 10
  holdfast dev --data mine --listen 127.0.0.1:8080 --ready-file ready.json`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.ephemeral && c.Flags().Changed("data") {
				g.note("--ephemeral: %s is left alone", o.data)
			}
			return dev(c.Context(), g, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", defaultDataDir, "`DIR` that keeps everything over restarts, and the configuration for --config DIR")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "keep nothing: a folder of its own, deleted at the end")
	f.Float64Var(&o.traffic, "traffic", 2, "`RATE` of the built-in generator, in events per second; 0 for none")
	f.StringVar(&o.tiers, "tiers", "1m,2m,4m", "`DELAYS` of the retry tiers, rising")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "`ADDRESS` of metrics and health; port 0 takes any that is free")
	f.StringVar(&o.readyFile, "ready-file", "", "write `FILE` once everything accepts work: JSON with pid and addresses")
	return c
}

// dev runs the embedded services and, on them, an ordinary configuration.
func dev(ctx context.Context, g *globals, o devOptions) error {
	if o.traffic < 0 || math.IsNaN(o.traffic) {
		return exit(exitUsage, fmt.Errorf("--traffic %v must be 0 or more events per second", o.traffic))
	}
	if err := checkTiers(o.tiers); err != nil {
		return err
	}
	d, err := startDev(ctx, g, o)
	if err != nil {
		return err
	}
	defer d.stop()
	d.explain(g.out)
	defer removeReady(o.readyFile)
	return d.run(ctx, g, o)
}

// devStack is what a dev process runs besides the pipeline.
type devStack struct {
	dir      string
	broker   *embedded.Broker
	registry *embedded.Registry
	vendor   *vendorsim.Server
	cfg      *config.Config
	box      *outbox.Outbox
	app      *app
	log      *zap.Logger
	stops    []func()
}

var errDevRuns = errors.New("another `holdfast dev` uses this folder; stop it, or pass another --data")

func startDev(ctx context.Context, g *globals, o devOptions) (_ *devStack, err error) {
	d := &devStack{log: newLogger(g)}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	if err := d.folder(o); err != nil {
		return nil, err
	}
	if err := d.services(); err != nil {
		return nil, err
	}
	file := filepath.Join(d.dir, devConfig)
	if err := writeFile(file, []byte(d.configuration(o))); err != nil {
		return nil, err
	}
	if d.cfg, err = config.Load(file, known()); err != nil {
		return nil, err
	}
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	if d.app, err = newApp(ctx, d.cfg, selection{role: "all", instance: "dev", alone: true, from: "earliest"}, d.log); err != nil {
		return nil, err
	}
	o.listen = strings.TrimPrefix(d.app.url, "http://") // what it became, for healthcheck
	return d, writeFile(file, []byte(d.configuration(o)))
}

// folder takes the data folder for this process alone.
func (d *devStack) folder(o devOptions) error {
	d.dir = o.data
	if o.ephemeral {
		dir, err := os.MkdirTemp("", "holdfast-dev-")
		if err != nil {
			return err
		}
		d.dir = dir
		d.stops = append(d.stops, func() { _ = os.RemoveAll(dir) })
	}
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return err
	}
	d.dir = dir
	if err := os.MkdirAll(d.dir, 0o750); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(d.dir, devLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	d.stops = append(d.stops, func() { _ = lock.Close() })
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return exit(exitRefused, fmt.Errorf("%s: %w", d.dir, errDevRuns))
	}
	return nil
}

func (d *devStack) services() (err error) {
	d.broker, err = embedded.StartBroker(embedded.BrokerOptions{Port: usualPort(9092), DataDir: filepath.Join(d.dir, "kafka")})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, d.broker.Close)
	d.registry, err = embedded.StartRegistry(embedded.RegistryOptions{Addr: fmt.Sprintf("127.0.0.1:%d", usualPort(8081)), DataDir: filepath.Join(d.dir, "registry")})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, d.registry.Close)
	d.vendor, err = vendorsim.Start(vendorsim.Options{Addr: fmt.Sprintf("127.0.0.1:%d", usualPort(12111)), DataDir: filepath.Join(d.dir, "stripe"), Rate: 100, EndpointRate: 25})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, d.vendor.Close)
	return nil
}

// usualPort is the port people expect if it is free, else any.
func usualPort(port int) int {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // binding loopback does not wait
	if err != nil {
		return 0
	}
	_ = l.Close()
	return port
}

// configuration is the file that dev runs, and that other commands find.
func (d *devStack) configuration(o devOptions) string {
	quoted, _ := json.Marshal(d.dir) // a JSON string is a YAML string
	dir := strings.Trim(string(quoted), `"`)
	return fmt.Sprintf(`# Written by holdfast dev at its start.
version: 1
kafka: {brokers: ["%s"]}
schema_registry: {url: "%s"}
processors:
  - {name: invoice-command, in: crm.invoice.v1, out: billing.invoice-command.v1}
  - {name: shipment-table, in: inventory.shipment.v1, out: warehouse.shipment.v1}
sinks:
  - name: stripe-invoices
    kind: stripe
    in: billing.invoice-command.v1
    base_url: "%s"
    auth: {api_key: sk_test_simulated}
    limits: {rate: 80/s, burst: 20, concurrency: 8, endpoints: {invoiceitems.create: {rate: 20/s}}} # requests; Stripe takes 100/s, and 25/s per endpoint
    retry: {tiers: [%s]}
  - name: shipments
    kind: table
    in: warehouse.shipment.v1
    dsn: "sqlite:%s/%s"
    table: shipments
    key: [shipment_id]
    version: version
    create: true
    retry: {tiers: [%s]}
outbox:
  kind: sqlite
  dsn: "sqlite:%s/%s"
  topics: {invoice: crm.invoice.v1, shipment: inventory.shipment.v1}
  keep: 1h
http: {listen: "%s"}
egress: {allow_http: true, allow_cidrs: [127.0.0.0/8]}
`, d.broker.Addrs()[0], d.registry.URL(), d.vendor.URL(), o.tiers, dir, devWarehouse, o.tiers, dir, devOutbox, o.listen)
}

// checkTiers refuses what would not be a list of rising durations in the file:
// there it is written once for each sink, and would be refused as often.
func checkTiers(tiers string) error {
	var before time.Duration
	for tier := range strings.SplitSeq(tiers, ",") {
		d, err := time.ParseDuration(strings.TrimSpace(tier))
		switch {
		case err != nil || d <= 0:
			return exit(exitUsage, fmt.Errorf("--tiers %q: %q must be a duration such as 1s", tiers, tier))
		case d <= before:
			return exit(exitUsage, fmt.Errorf("--tiers %q: %s must be longer than the tier before it (%s)", tiers, topics.Tier(d), topics.Tier(before)))
		}
		before = d
	}
	return nil
}

// prepare makes topics, schemas and the outbox table: dev owns them all.
func (d *devStack) prepare(ctx context.Context) error {
	conn, err := connect(ctx, d.cfg)
	if err != nil {
		return err
	}
	defer conn.close()
	sinks, processors := planned(d.cfg)
	changes, err := topics.Plan(ctx, conn.admin, sinks, processors, devPartitions)
	if err != nil {
		return err
	}
	if err := topics.Apply(ctx, conn.client, changes); err != nil {
		return err
	}
	if _, err := registerSchemas(ctx, d.cfg); err != nil {
		return err
	}
	for _, name := range []string{devOutbox, devWarehouse} {
		if err := private(filepath.Join(d.dir, name)); err != nil {
			return err
		}
	}
	if d.box, err = openOutbox(d.cfg.Outbox); err != nil {
		return err
	}
	d.stops = append(d.stops, func() { _ = d.box.Close() })
	return d.box.Init(ctx)
}

// private makes a SQLite file that only its owner reads, or an old one so:
// names and addresses lie in it. What SQLite puts beside a new file has its
// mode; what a killed process left there has the one it was made with.
func private(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, beside := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(file+beside, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (d *devStack) stop() {
	for _, stop := range slices.Backward(d.stops) {
		stop()
	}
	d.stops = nil
}

// run works until ctx ends, or a part fails.
func (d *devStack) run(ctx context.Context, g *globals, o devOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	traffic := make(chan struct{})
	go func() {
		defer close(traffic)
		if o.traffic > 0 {
			d.generate(ctx, o.traffic)
		}
	}()
	defer func() {
		cancel() // events for a pipeline that has stopped help nobody
		<-traffic
	}()
	return d.app.run(ctx, func() {
		if err := writeReady(o.readyFile, d.readiness()); err != nil {
			d.log.Error("ready file", zap.Error(err))
		}
		_, _ = fmt.Fprintln(g.out, "ready")
		if terminal(g.out) {
			go d.statusLine(ctx, g.out)
		}
	})
}

// terminal reports whether somebody watches.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const statusEvery = 2 * time.Second

// statusLine rewrites one line with how things stand, until ctx ends.
func (d *devStack) statusLine(ctx context.Context, w io.Writer) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	look := d.app.conn.lookup()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		rows, err := look.Lag(ctx, lookup.LagBudget())
		if err != nil {
			continue
		}
		var live, waiting, dead int64
		var next []string
		for _, l := range rows {
			live, dead = live+l.Live, dead+l.DLQ
			if l.Next != "" {
				next = append(next, " · "+l.Sink+": "+l.Next)
			}
			for _, tier := range l.Retry {
				waiting += tier.Waiting
			}
		}
		_, _ = fmt.Fprintf(w, "\r\x1b[Kat Stripe %d objects · on the way %d · waiting in tiers %d · dead letters %d%s", len(d.vendor.Applied()), live, waiting, dead, strings.Join(next, ""))
	}
}

func (d *devStack) readiness() readiness {
	return readiness{
		PID: os.Getpid(), Kafka: d.broker.Addrs(), SchemaRegistry: d.registry.URL(), HTTP: d.app.url,
		Outbox: d.cfg.Outbox.DSN.Reveal(), Vendors: map[string]string{"stripe": d.vendor.URL()},
	}
}

// generate writes invoices and shipments into the outbox, as an application would.
func (d *devStack) generate(ctx context.Context, perSecond float64) {
	gen := example.New(uint64(time.Now().UnixNano()))
	limiter := rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
	for n := 0; limiter.Wait(ctx) == nil; n++ {
		aggregate, line := "invoice", gen.Invoice
		if n%3 == 2 {
			aggregate, line = "shipment", gen.Shipment
		}
		if err := insert(ctx, d.box, aggregate, line()); err != nil && ctx.Err() == nil {
			d.log.Warn("generator", zap.Error(err))
		}
	}
}

// insert writes an event into the outbox in a transaction of its own.
func insert(ctx context.Context, box *outbox.Outbox, aggregate string, line example.Line) error {
	payload, err := json.Marshal(line.Value)
	if err != nil {
		return err
	}
	tx, err := box.DB().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := outbox.Insert(ctx, tx, outbox.Event{AggregateType: aggregate, AggregateID: line.Key, Type: line.Headers["ce_type"], Payload: payload}); err != nil {
		return err
	}
	return tx.Commit()
}
