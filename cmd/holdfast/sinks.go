package main

import (
	"fmt"

	"holdfast.internal/internal/config"
	"holdfast.internal/sinks"
	"holdfast.internal/sinks/http"
	"holdfast.internal/sinks/stripe"
	"holdfast.internal/sinks/table"
)

// sinkKind is one kind of sink that a configuration may name.
type sinkKind struct {
	options func() config.Options
	open    func(config.Options, sinks.Deps) (sinks.Sink, error)
}

// sinkKinds lists every kind. Keep it sorted.
func sinkKinds() map[string]sinkKind {
	return map[string]sinkKind{
		"http":   kind(http.New),
		"stripe": kind(stripe.New),
		"table":  kind(table.New),
	}
}

// kind adapts a typed constructor, so that a configuration is decoded into the
// kind's own type and checked before anything starts.
func kind[C config.Options, S sinks.Sink](open func(C, sinks.Deps) (S, error)) sinkKind {
	return sinkKind{
		options: func() config.Options { return any(new(C)).(config.Options) }, //nolint:forcetypeassert // a pointer has its value's methods
		open: func(o config.Options, d sinks.Deps) (sinks.Sink, error) {
			return open(*any(o).(*C), d) //nolint:forcetypeassert // made by options above
		},
	}
}

// kinds is what the configuration needs to know of them.
func kinds() config.Kinds {
	known := config.Kinds{}
	for name, k := range sinkKinds() {
		known[name] = k.options
	}
	return known
}

// openSink makes a sink from its configuration.
func openSink(s config.Sink, d sinks.Deps) (sinks.Sink, error) {
	sink, err := sinkKinds()[s.Kind].open(s.Options, d)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	return sink, nil
}
