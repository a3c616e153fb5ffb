// Command bench compares the delivery engine with yardsticks, in one run on
// one machine: a raw HTTP client loop (the ceiling), a hand-written loop of
// key lanes over the same Kafka client, and serial delivery per partition.
//
// Every contender runs in a process of its own, so that CPU time, memory and
// allocations are its own; the vendor and, without real Kafka, the broker are
// further processes. All of them are this program, told what to be by -be.
//
// Three more cases, which run only when they are named, show what a worker
// makes of much that waits for it: backlog, parked, due.
//
// HOLDFAST_TEST_KAFKA names real brokers; without it an embedded one serves.
// A table goes to stderr, one JSON object to stdout. Exit 1: a goal is missed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags of a run.
type options struct {
	only    string
	rounds  int
	noGoals bool
	profile string
	records int    // of a case of size
	keys    int    // of a case of size; 0: its own choice
	through string // of a case of size
	be      string
	job     string
}

var errMissed = errors.New("a goal is missed")

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.only, "case", "", "run the cases with this `name` or part of a name: 0ms, 50ms-ordered, hot, backlog")
	flags.IntVar(&o.rounds, "rounds", 9, "repeat each case; the median counts")
	flags.BoolVar(&o.noGoals, "no-goals", false, "print the figures and judge nothing")
	flags.StringVar(&o.profile, "profile", "", "write CPU and allocation profiles of every contender into this `folder`")
	flags.IntVar(&o.records, "records", 1_000_000, "records that wait, with -case backlog, parked or due")
	flags.IntVar(&o.keys, "keys", 0, "keys that they are spread over (default: 4,096 for backlog, else one for each record)")
	flags.StringVar(&o.through, "through", throughFunc, "where they are sent to: `func` or http")
	flags.StringVar(&o.be, "be", "", "what this process is; for the program's own use")
	flags.StringVar(&o.job, "job", "", "what a contender is to do, as JSON; for the program's own use")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch o.be {
	case "":
		return drive(ctx, o)
	case beVendor:
		return serveVendor(ctx)
	case beBroker:
		return serveBroker(ctx)
	case beSized:
		return beWatched(ctx, o.job)
	}
	return compete(ctx, o.be, o.job)
}

func drive(ctx context.Context, o options) error {
	compared, sizes := called(o), scales(o)
	b, err := newBed(ctx, o, compared)
	if err != nil {
		return err
	}
	defer b.close() //nolint:contextcheck // cleans up also when ctx has ended
	report := report{Kafka: b.kind}
	for _, c := range compared {
		result, err := b.run(ctx, c, o.rounds)
		if err != nil {
			return fmt.Errorf("case %s: %w", c.Name, err)
		}
		report.Cases = append(report.Cases, result)
	}
	for _, s := range sizes {
		f, err := b.size(ctx, s)
		if err != nil {
			return fmt.Errorf("case %s: %w", s.Case, err)
		}
		report.Sizes = append(report.Sizes, f)
	}
	report.judge()
	report.table(os.Stderr)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	if err := out.Encode(report); err != nil {
		return err
	}
	if !o.noGoals && len(report.Missed) > 0 {
		return errMissed
	}
	return nil
}

// say tells those who watch what happens.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
