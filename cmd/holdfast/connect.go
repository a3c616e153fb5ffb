package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/registry"
	"holdfast.internal/internal/topics"
)

// loadConfig reads the configuration that the flags, the environment or a
// running dev in this folder name.
func (g *globals) loadConfig() (*config.Config, error) {
	path, err := g.configPath()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path, known())
	if err != nil {
		return nil, exit(exitFindings, err)
	}
	return cfg, nil
}

// kafkaOptions are how to reach the configured brokers.
func kafkaOptions(c *config.Config) ([]kgo.Opt, error) {
	k := kafka.Config{Brokers: c.Kafka.Brokers}
	if t := c.Kafka.TLS; t != nil {
		k.TLS = &kafka.TLS{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile}
	}
	if s := c.Kafka.SASL; s != nil {
		k.SASL = &kafka.SASL{Mechanism: s.Mechanism, Username: s.Username, Password: s.Password}
	}
	return kafka.Options(k)
}

// connection is what commands talk through.
type connection struct {
	cfg    *config.Config
	opts   []kgo.Opt
	client *kgo.Client
	admin  *kadm.Client
	serde  *registry.Serde
}

// connect loads the configuration and reaches the brokers.
func (g *globals) connect(ctx context.Context) (*connection, error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, cfg)
	if err != nil && ofDev(cfg.File) {
		err = fmt.Errorf("%w; %w", err, errNoDev)
	}
	return conn, err
}

// connect reaches the brokers; more are options of this one client.
func connect(ctx context.Context, cfg *config.Config, more ...kgo.Opt) (*connection, error) {
	opts, err := kafkaOptions(cfg)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(slices.Clip(opts), more...)...)
	if err != nil {
		return nil, err
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		if dial, ok := errors.AsType[*net.OpError](err); ok { // what is around it says "dial" again
			err = dial
		}
		return nil, exit(exitUnreachable, fmt.Errorf("kafka %s: %w", strings.Join(cfg.Kafka.Brokers, ", "), err))
	}
	srClient, err := registry.NewClient(registryConfig(cfg))
	if err != nil {
		client.Close()
		return nil, err
	}
	return &connection{cfg: cfg, opts: opts, client: client, admin: kadm.NewClient(client), serde: registry.NewSerde(srClient)}, nil
}

func (c *connection) close() { c.client.Close() }

func registryConfig(c *config.Config) registry.Config {
	r := c.SchemaRegistry
	return registry.Config{URL: r.URL, Username: r.Username, Password: r.Password}
}

// planned are the sinks and processors as package topics knows them.
func planned(c *config.Config) (sinks []topics.Sink, processors []topics.Processor) {
	for _, s := range c.Sinks {
		sinks = append(sinks, topics.Sink{Name: s.Name, In: s.In, Tiers: s.Retry.Tiers, Retention: s.DLQ.Retention})
	}
	for _, p := range c.Processors {
		processors = append(processors, topics.Processor{Name: p.Name, In: p.In, Out: p.Out})
	}
	return sinks, processors
}
