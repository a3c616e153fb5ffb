package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/delivery"
)

// errNoConsole answers for a role that scripts may know already.
var errNoConsole = errors.New("--role console: this version has no console; look with `holdfast lag`, `find` and `dlq list`, and see /metrics of `run`")

// selection says which parts of a configuration this process runs.
type selection struct {
	role       string // all, processor, sink or outbox
	sinks      []string
	processors []string
	instance   string
	leave      bool   // a stop ends the static membership
	from       string // where a sink begins whose place is lost; "" refuses it
	alone      bool   // no other process shares the limits
}

func (s selection) has(role string) bool { return s.role == "all" || s.role == role }

func (s selection) sink(name string) bool {
	return s.has("sink") && (len(s.sinks) == 0 || slices.Contains(s.sinks, name))
}

func (s selection) processor(name string) bool {
	return s.has("processor") && (len(s.processors) == 0 || slices.Contains(s.processors, name))
}

// check refuses a selection that chooses nothing: its process would be ready
// and healthy, and deliver nothing for as long as nobody looks.
func (s selection) check(cfg *config.Config) error {
	if s.role == "console" {
		return exit(exitUsage, errNoConsole)
	}
	if roles := []string{"all", "processor", "sink", "outbox"}; !slices.Contains(roles, s.role) {
		return exit(exitUsage, fmt.Errorf("--role %q must be one of %s%s", s.role, strings.Join(roles, ", "), config.DidYouMean(s.role, roles)))
	}
	if _, err := delivery.ParseFrom(s.from); err != nil {
		return exit(exitUsage, fmt.Errorf("--from %w", err))
	}
	var sinks, processors []string
	for _, sink := range cfg.Sinks {
		sinks = append(sinks, sink.Name)
	}
	for _, p := range cfg.Processors {
		processors = append(processors, p.Name)
	}
	if err := s.checkNames("sink", s.sinks, sinks, processors); err != nil {
		return err
	}
	if err := s.checkNames("processor", s.processors, processors, sinks); err != nil {
		return err
	}
	there := map[string]bool{"sink": len(sinks) > 0, "processor": len(processors) > 0, "outbox": cfg.Outbox.Kind != "", "all": true}
	if !there[s.role] {
		return exit(exitFindings, fmt.Errorf("the configuration has no %s for --role %[1]s", s.role))
	}
	return nil
}

// checkNames looks at the values of --sink or --processor; others are the names
// that the other flag takes.
func (s selection) checkNames(kind string, chosen, known, others []string) error {
	if len(chosen) > 0 && !s.has(kind) {
		return exit(exitUsage, fmt.Errorf("--%s and --role %s exclude each other", kind, s.role))
	}
	for _, name := range chosen {
		if slices.Contains(others, name) {
			return otherKind(name, kind == "processor")
		}
		if !slices.Contains(known, name) {
			return exit(exitUsage, fmt.Errorf("--%s %q is not in the configuration, which has %s%s",
				kind, name, strings.Join(known, ", "), config.DidYouMean(name, known)))
		}
	}
	return nil
}
