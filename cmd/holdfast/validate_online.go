package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/topics"
)

// online collects what a cluster says against a valid configuration, each
// finding at the value that asks for it.
type online struct {
	cfg   *config.Config
	conn  *connection
	found []finding
}

// askOnline compares the cluster and the registry with a valid configuration.
func askOnline(ctx context.Context, g *globals, cfg *config.Config) ([]finding, error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	conn, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	o := &online{cfg: cfg, conn: conn}
	for _, ask := range []func(context.Context) error{o.topics, o.sources, o.brokers} {
		if err := ask(ctx); err != nil {
			return nil, err
		}
	}
	subjects, err := askRegistry(ctx, cfg)
	return append(o.found, subjects...), err
}

// tell notes a finding once, however many brokers say it. Without a path it is
// about the file as a whole.
func (o *online) tell(path string, warning bool, format string, args ...any) {
	f := finding{File: o.cfg.File, Path: path, Warning: warning, Message: fmt.Sprintf(format, args...)}
	if path != "" {
		f.Line, f.Column = o.cfg.Place(path)
	}
	if !slices.Contains(o.found, f) {
		o.found = append(o.found, f)
	}
}

// topics are missing, or have another size than their source.
func (o *online) topics(ctx context.Context) error {
	sinks, processors := planned(o.cfg)
	changes, err := topics.Plan(ctx, o.conn.admin, sinks, processors, topics.DefaultPartitions)
	switch {
	case errors.Is(err, topics.ErrUnequal):
		o.tell("", false, "%v", err)
	case err != nil:
		return err
	}
	owner := owners(o.cfg)
	for _, c := range changes {
		o.tell(owner[c.Topic], c.Action == topics.Configure, "topic %s: %s needed (%s): run `holdfast topic apply`", c.Topic, c.Action, c.Reason)
	}
	return nil
}

// owners are the paths of what asks for a topic; holdfast's own have none.
func owners(cfg *config.Config) map[string]string {
	owner := map[string]string{}
	for i, s := range cfg.Sinks {
		path := fmt.Sprintf("sinks[%d]", i)
		for j, tier := range s.Retry.Tiers {
			owner[topics.Retry(s.Name, tier)] = fmt.Sprintf("%s.retry.tiers[%d]", path, j)
		}
		owner[topics.Redrive(s.Name)], owner[topics.DeadLetters(s.Name)], owner[s.In] = path+".name", path+".name", path+".in"
	}
	for i, p := range cfg.Processors {
		path := fmt.Sprintf("processors[%d]", i)
		owner[topics.Redrive(p.Name)], owner[topics.DeadLetters(p.Name)] = path+".name", path+".name"
		owner[p.Out], owner[p.In] = path+".out", path+".in"
	}
	return owner
}
