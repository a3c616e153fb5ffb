package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/lookup"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/sinkstate"
)

func sinkCommand(g *globals) *cobra.Command {
	return group("sink", "Show how sinks stand, and let a held one go on", sinkListCommand(g), sinkResumeCommand(g))
}

// sinkRow is what `sink list` prints of one sink.
type sinkRow struct {
	lookup.Standing

	Kind string `json:"kind"`
	In   string `json:"in"`
}

func sinkListCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the configured sinks, and what holds them", Args: usage(cobra.NoArgs),
		Example: "  holdfast sink list",
		RunE:    func(c *cobra.Command, _ []string) error { return sinkList(c.Context(), g) },
	}
}

func sinkList(ctx context.Context, g *globals) error {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	conn, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	standings, err := conn.lookup().Standings(ctx)
	if err != nil {
		return err
	}
	var rows []sinkRow
	for i, s := range conn.cfg.Sinks { // in the same order
		rows = append(rows, sinkRow{Standing: standings[i], Kind: s.Kind, In: s.In})
	}
	if len(rows) == 0 {
		g.note("no sink is configured in %s", conn.cfg.File)
	}
	return list(g, rows, []column[sinkRow]{
		{"sink", func(r sinkRow) string { return r.Sink }},
		{"kind", func(r sinkRow) string { return r.Kind }},
		{"workers", func(r sinkRow) string { return workersText(r.Workers) }},
		{"breaker", func(r sinkRow) string { return orDash(r.Breaker) }},
		{"held", func(r sinkRow) string { return cmp.Or(r.Held, "-") }},
		{"next", func(r sinkRow) string { return cmp.Or(r.Next, "-") }},
	}, column[sinkRow]{"in", func(r sinkRow) string { return r.In }})
}

// workersText is a number, or ? where it is not known.
func workersText(n *int) string {
	if n == nil {
		return "?"
	}
	return strconv.Itoa(*n)
}

// resumeResult is what `sink resume` prints.
type resumeResult struct {
	Job  string `json:"job"`
	Sink string `json:"sink"`
	// Held is what held it when it was told to go on; "" for nothing. Endpoint is
	// the one that is throttled alone, or beside that; "" for none.
	Held     string `json:"held"`
	Endpoint string `json:"endpoint"`
	Workers  *int   `json:"workers"` // that hear it; null where nobody knows

	throttled bool // ended too
}

// String says what came of it.
func (r resumeResult) String() string {
	stays := "%s: %s stays throttled until the vendor's time is over; --throttled ends that too"
	switch {
	case r.Held == string(sinkstate.Throttled) && !r.throttled:
		return fmt.Sprintf(stays, r.Job, r.Sink)
	case r.Held == lookup.HeldEndpoint && !r.throttled:
		return fmt.Sprintf(stays, r.Job, r.Endpoint+" of "+r.Sink)
	}
	return fmt.Sprintf("%s: %s was told to go on", r.Job, r.Sink)
}

func sinkResumeCommand(g *globals) *cobra.Command {
	var reason, by string
	var throttled bool
	c := &cobra.Command{
		Use: "resume SINK", Short: "Free a mapping that the dead-letter budget holds, and try refused credentials at once",
		Long: `Tells the workers of a sink to go on, once the cause is mended. What a vendor asked
for (throttled) stays, over restarts too, unless you know better than the vendor and
pass --throttled: records that went to a retry topic meanwhile keep their time. The
breaker finds out by itself.`,
		Example: "  holdfast sink resume stripe-invoices --reason 'INC-2041, mapping rolled back'",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return sinkResume(c.Context(), g, args[0], dlq.Job{By: by, Reason: reason}, throttled)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "`TEXT` that says why, such as INC-2041; required")
	c.Flags().BoolVar(&throttled, "throttled", false, "end what the vendor asked for too")
	c.Flags().StringVar(&by, "by", me(), "`NAME` of who does it, for those who come after")
	return c
}

func sinkResume(ctx context.Context, g *globals, name string, job dlq.Job, throttled bool) error {
	if err := g.checkReason(job.Reason); err != nil {
		return err
	}
	conn, err := g.reach(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	target, err := sinkNamed(conn, name)
	if err != nil {
		return err
	}
	standings, err := conn.lookup().Standings(ctx)
	if err != nil {
		return err
	}
	now := standings[slices.IndexFunc(standings, func(s lookup.Standing) bool { return s.Sink == name })]
	explainHold(g, now, throttled)
	if err := g.checkConsent(job.Reason); err != nil {
		return err
	}
	if err := g.confirm(fmt.Sprintf("Let %s go on?", name)); err != nil {
		return err
	}
	job.ID = "sr-" + shortID()
	if err := conn.box(target).Resume(ctx, job, throttled); err != nil {
		return dlqError(err)
	}
	if throttled {
		if err := sinkstate.Lift(ctx, conn.client, scan.Scanner{Connect: conn.opts}, name, time.Now()); err != nil {
			return err
		}
	}
	r := resumeResult{Job: job.ID, Sink: name, Held: now.Held, Endpoint: now.Endpoint, Workers: now.Workers, throttled: throttled}
	return one(g, r, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, r)
		return err
	})
}

var errNoSink = errors.New("no such sink in the configuration")

// sinkNamed is the sink of a name. A processor is told apart from a name that is
// nowhere: it never holds, and what it lacks shows elsewhere.
func sinkNamed(conn *connection, name string) (dlq.Target, error) {
	var names []string
	for _, t := range targets(conn.cfg) {
		switch {
		case t.Name == name && t.Processor:
			return dlq.Target{}, exit(exitUsage, fmt.Errorf("%q is a processor, which nothing holds: it goes on by itself "+
				"(holdfast lag); what it refused comes back by `holdfast dlq redrive --processor %[1]s`", name))
		case t.Processor:
		case t.Name == name:
			return t, nil
		default:
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return dlq.Target{}, exit(exitUsage, fmt.Errorf("%q: %w, which has none", name, errNoSink))
	}
	return dlq.Target{}, exit(exitUsage, fmt.Errorf("%q: %w, which has %s%s", name, errNoSink, strings.Join(names, ", "), config.DidYouMean(name, names)))
}

// explainHold tells what a resume will free, and what it will not.
func explainHold(g *globals, s lookup.Standing, throttled bool) {
	switch {
	case s.Workers == nil:
		g.note("%s: how many workers run is not known, as the coordinator of their group does not answer, or nobody may ask", s.Sink)
	case *s.Workers == 0:
		g.note("no worker of %s is running: nobody hears it, and a worker that starts is held by what its vendor asked for alone", s.Sink)
	case s.Held == "" && s.Next == "":
		g.note("nothing holds %s, as far as its workers told", s.Sink)
	case (s.Held == string(sinkstate.Throttled) || s.Held == lookup.HeldEndpoint) && !throttled:
		g.note("%s: %s; that is the vendor's wish, which --throttled overrules", s.Sink, s.Next)
	case s.Held == "" && s.Breaker != nil && *s.Breaker == "closed":
		g.note("%s: %s; a resume changes nothing about that", s.Sink, s.Next)
	case s.Held == "":
		g.note("%s: %s; the breaker finds out by itself", s.Sink, s.Next)
	default:
		g.note("%s: %s", s.Sink, s.Next)
	}
}
