package main

import (
	"fmt"

	"holdfast.internal/internal/config"
	"holdfast.internal/schemas"
	"holdfast.internal/sinks"
	"holdfast.internal/sinks/http"
	"holdfast.internal/sinks/stripe"
	"holdfast.internal/sinks/table"
)

// sinkKind is one kind of sink that a configuration may name.
type sinkKind struct {
	config func() any
	open   func(config.Section, sinks.Deps) (sinks.Sink, error)
	stale  func(config any) string // what becomes of stale letters unless the configuration says it
}

// sinkKinds lists every kind. Keep it sorted.
func sinkKinds() map[string]sinkKind {
	return map[string]sinkKind{
		"http":   kind(http.New, standsAlone[http.Config]),
		"stripe": kind(stripe.New, standsAlone[stripe.Config]),
		"table":  kind(table.New, newestWins),
	}
}

// kind adapts a typed constructor, so that a configuration is decoded into the
// kind's own type and checked before anything starts.
func kind[C any, S sinks.Sink](open func(C, sinks.Deps) (S, error), stale func(*C) string) sinkKind {
	return sinkKind{
		config: func() any { return new(C) },
		open: func(section config.Section, d sinks.Deps) (sinks.Sink, error) {
			var c C
			if err := section.Decode(&c); err != nil {
				return nil, err
			}
			return open(c, d)
		},
		stale: func(c any) string {
			own, ok := c.(*C)
			if !ok {
				return config.StaleSkip
			}
			return stale(own)
		},
	}
}

// standsAlone is a kind whose requests undo nothing that came after them.
func standsAlone[C any](*C) string { return config.StaleSend }

// newestWins is true of a table that knows by a version which row is newer;
// without one, each record replaces the last.
func newestWins(c *table.Config) string {
	if c.Version == "" {
		return config.StaleSkip
	}
	return config.StaleSend
}

// known is what a configuration may name.
func known() config.Known {
	k := config.Known{Sinks: map[string]config.Kind{}, Processors: map[string]config.Transform{}, Topics: map[string]string{}}
	for name, kind := range sinkKinds() {
		k.Sinks[name] = config.Kind{Config: kind.config, Stale: kind.stale}
	}
	for name, p := range processorTypes() {
		k.Processors[name] = config.Transform{In: p.in, Out: p.out}
	}
	for _, t := range schemas.Topics() {
		k.Topics[t.Name] = t.Record
	}
	k.Field = func(topic, path string) (string, []string) {
		latest, err := schemas.Latest(k.Topics[topic])
		if err != nil {
			return "", nil
		}
		return schemas.TypeOf(latest.Text, path)
	}
	return k
}

// openSink makes a sink from its configuration.
func openSink(s config.Sink, d sinks.Deps) (sinks.Sink, error) {
	sink, err := sinkKinds()[s.Kind].open(s.Section, d)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	return sink, nil
}
