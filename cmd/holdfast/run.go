package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"holdfast.internal/internal/delivery"
)

func runCommand(g *globals) *cobra.Command {
	sel := selection{}
	var readyFile string
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run processors, sinks and the outbox relay of a configuration",
		Long: `Works until SIGTERM, which it obeys within 25 s with nothing lost; a second one ends
it at once. Logs are JSON on stderr. Any number of replicas share the work.`,
		Example: `  holdfast run --config holdfast.yaml --instance worker-1
  holdfast run --config holdfast.yaml --role sink --sink stripe-invoices`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return run(c.Context(), g, sel, readyFile)
		},
	}
	f := c.Flags()
	f.StringVar(&sel.role, "role", "all", "`ROLE` to run: all, processor, sink or outbox")
	f.StringArrayVar(&sel.sinks, "sink", nil, "of the sinks run `NAME` alone; may be repeated (--role sink leaves out the rest)")
	f.StringArrayVar(&sel.processors, "processor", nil, "of the processors run `NAME` alone; may be repeated (--role processor leaves out the rest)")
	f.StringVar(&sel.instance, "instance", os.Getenv("HOLDFAST_INSTANCE"), "static member `NAME`, unique per replica and stable over restarts ($HOLDFAST_INSTANCE)")
	f.BoolVar(&sel.leave, "leave", false, "on SIGTERM, end the static membership too: the others take over at once, and a restart moves partitions")
	f.StringVar(&sel.from, "from", "", "where a sink begins whose offsets are lost: earliest, latest or a `TIME` in RFC 3339; no effect on sinks that have offsets")
	f.StringVar(&readyFile, "ready-file", "", "write `FILE` once everything accepts work: JSON with pid and addresses")
	return c
}

func run(ctx context.Context, g *globals, sel selection, readyFile string) error {
	cfg, err := g.loadConfig()
	if err != nil {
		return err
	}
	if err := sel.check(cfg); err != nil {
		return err
	}
	log := newLogger(g)
	start, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	a, err := newApp(start, cfg, sel, log)
	if err != nil {
		return err
	}
	delivery.PaceCollector(len(a.runners))
	r := readiness{PID: os.Getpid(), Kafka: cfg.Kafka.Brokers, SchemaRegistry: cfg.SchemaRegistry.URL, HTTP: a.url}
	defer removeReady(readyFile)
	return a.run(ctx, func() {
		log.Info("ready", zap.Strings("kafka", cfg.Kafka.Brokers), zap.String("http", a.url))
		if err := writeReady(readyFile, r); err != nil {
			log.Error("ready file", zap.Error(err))
		}
	})
}

// readiness is the ready file: what runs where.
type readiness struct {
	PID            int               `json:"pid"`
	Kafka          []string          `json:"kafka"`
	SchemaRegistry string            `json:"schema_registry"`
	HTTP           string            `json:"http"`
	Outbox         string            `json:"outbox,omitempty"`
	Vendors        map[string]string `json:"vendors,omitempty"`
}

// writeReady writes atomically: a reader sees all of it or nothing.
func writeReady(path string, r readiness) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

// writeFile replaces a file in one step.
func writeFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".holdfast-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	if _, err := tmp.Write(b); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func removeReady(path string) {
	if path != "" {
		_ = os.Remove(path)
	}
}

// newLogger writes JSON to stderr, so that stdout holds data only.
func newLogger(g *globals) *zap.Logger {
	level := zapcore.InfoLevel
	if g.verbose {
		level = zapcore.DebugLevel
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.AddSync(g.err), level))
}
