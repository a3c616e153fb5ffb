package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.internal"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/lookup"
)

var (
	errNoSelection = errors.New("name letters, or --sink or --processor")
	errBoth        = errors.New("letters are named one by one, or chosen by flags, not both")
	errTwoTopics   = errors.New("letters of one sink or processor at a time")
	errStaleBoth   = errors.New("--allow-stale and --skip-stale exclude each other")
	errStaleSink   = errors.New("--allow-stale and --skip-stale are for the letters of a sink")
)

// redriveResult is what `dlq redrive` prints; the first six names are an interface.
type redriveResult struct {
	Job       string        `json:"job"`
	Matched   int           `json:"matched"`
	Sent      int           `json:"sent"`
	Delivered int           `json:"delivered"`
	Failed    int           `json:"failed"`
	Skipped   []dlq.LeftOut `json:"skipped"`
	Pending   int           `json:"pending"`
	DeadAgain []string      `json:"dead_again"` // coordinates of the new letters
	// Stale letters have a later record of their key that was delivered; of the
	// unknown ones nobody can tell. Those that are left out are in Skipped too.
	Stale        int  `json:"stale"`
	StaleUnknown int  `json:"stale_unknown"`
	DryRun       bool `json:"dry_run"`
}

// redriveFlags are those of redrive, discard, skip and ack.
type redriveFlags struct {
	letterFlags
	reason, by     string
	maxRedrives    int
	dryRun, detach bool
	all            bool

	sends                 bool // redrive alone asks what is stale
	allowStale, skipStale bool
	budget                time.Duration
}

func (f *redriveFlags) add(c *cobra.Command) {
	f.letterFlags.add(c)
	flags := c.Flags()
	flags.StringVar(&f.reason, "reason", "", "`TEXT` that says why, such as INC-2041; required")
	flags.StringVar(&f.by, "by", me(), "`NAME` of who does it, for those who come after")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be done, and do nothing")
	flags.BoolVar(&f.all, "all", false, "all open letters of the sink or processor; also the default where nothing else chooses")
}

func dlqRedriveCommand(g *globals) *cobra.Command {
	var f redriveFlags
	c := &cobra.Command{
		Use:   "redrive [TOPIC-PARTITION@OFFSET...]",
		Short: "Send dead letters again, to the sink or processor that failed and nobody else",
		Long: `Shows its plan on stderr, asks, sends, and waits until each letter is delivered or
dead again. Vendors see the same idempotency key as before. Ctrl-C leaves the
command and not the records. Exits 5 if some died again.`,
		Example: `  holdfast dlq redrive dlq.stripe-invoices-2@4711 --reason INC-2041
  holdfast dlq redrive --sink stripe-invoices --group 5f0a9d3c1e88 --reason INC-2041 --dry-run
  holdfast dlq redrive --sink stripe-invoices --group 5f0a9d3c1e88 --reason INC-2041 --yes -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error { return redrive(c.Context(), g, &f, args) },
	}
	f.sends = true
	f.add(c)
	c.Flags().IntVar(&f.maxRedrives, "max-redrives", 0, "skip letters redriven `N` times already; 0 is dlq.max_redrives of the sink, 3 unless configured")
	c.Flags().BoolVar(&f.detach, "detach", false, "do not wait for the outcome")
	c.Flags().BoolVar(&f.allowStale, "allow-stale", false, "send letters too of whose key a newer record was delivered (else as stale of the sink says)")
	c.Flags().BoolVar(&f.skipStale, "skip-stale", false, "leave such letters out, and those of which nobody can tell")
	c.Flags().DurationVar(&f.budget, "budget", dlq.StaleBudget().Time, "`DURATION` to read at most, to find stale letters")
	return c
}

func redrive(ctx context.Context, g *globals, f *redriveFlags, args []string) error {
	a, err := planAct(ctx, g, f, args)
	if err != nil {
		return err
	}
	defer a.conn.close()
	result := redriveResult{Matched: a.plan.Matched, Skipped: a.plan.Skipped, Stale: a.plan.Stale, StaleUnknown: a.plan.StaleUnknown, DryRun: f.dryRun}
	a.explain(g)
	if !f.dryRun {
		if err := g.checkConsent(f.reason); err != nil {
			return err
		}
	}
	if f.dryRun || a.plan.Sendable() == 0 {
		return printRedrive(g, result)
	}
	if err := g.confirm(fmt.Sprintf("Send %s to %s?", count(a.plan.Sendable(), "record"), a.box.Target.Name)); err != nil {
		return err
	}
	job := dlq.Job{ID: "rd-" + shortID(), By: f.by, Reason: f.reason}
	result.Job = job.ID
	sent, err := a.box.Redrive(ctx, a.plan, job)
	if sent != nil {
		result.Sent, result.Pending = sent.Count, sent.Count
	}
	if err != nil {
		return errors.Join(printRedrive(g, result), dlqError(err))
	}
	if f.detach {
		return printRedrive(g, result)
	}
	outcome, err := sent.Wait(ctx, a.progress(ctx, g, job.ID))
	result.Delivered, result.Failed, result.Pending, result.DeadAgain = outcome.Delivered, outcome.Failed, outcome.Pending, outcome.DeadAgain
	if ctx.Err() != nil {
		g.note("%s goes on without you: %s on their way; holdfast lag tells how far", job.ID, count(outcome.Pending, "record"))
		err = exit(exitInterrupted, nil)
	}
	if err := errors.Join(printRedrive(g, result), err); err != nil {
		return err
	}
	if result.Failed > 0 {
		return exit(exitPartly, nil)
	}
	return nil
}

// act is a plan, and where it is carried out.
type act struct {
	conn  *connection
	box   *dlq.Box
	plan  *dlq.Plan
	stale dlq.Stale // what it does with stale letters
	sends bool      // and does not settle them
}

// planAct refuses what is wrong on the command line before it connects, and
// what only the cluster knows before anybody is asked.
func planAct(ctx context.Context, g *globals, f *redriveFlags, args []string) (*act, error) {
	if err := f.check(g, args); err != nil {
		return nil, err
	}
	filter, err := f.filter(time.Now())
	if err != nil {
		return nil, err
	}
	at, name, err := letterArgs(args)
	if err != nil {
		return nil, err
	}
	conn, err := g.reach(ctx)
	if err != nil {
		return nil, err
	}
	target, err := f.target(conn, name)
	if err != nil {
		conn.close()
		return nil, err
	}
	a := &act{conn: conn, box: conn.box(target), stale: f.staleOf(conn, target), sends: f.sends}
	budget := dlq.StaleBudget()
	budget.Time = f.budget
	a.plan, err = a.box.Plan(ctx, dlq.Selection{
		Filter: filter, At: at, Limit: f.limit, MaxRedrives: f.limitOf(conn, target), Stale: a.stale, StaleBudget: budget,
	})
	if err != nil {
		conn.close()
		return nil, dlqError(err)
	}
	return a, nil
}

func (f *redriveFlags) check(g *globals, args []string) error {
	filtered := f.class != "" || f.code != "" || f.keyGiven() || f.group != "" || f.since != "" || f.until != "" || f.status != 0
	switch {
	case len(args) == 0 && f.sink == "" && f.processor == "":
		return exit(exitUsage, errNoSelection)
	case len(args) > 0 && (filtered || f.all):
		return exit(exitUsage, errBoth)
	case f.allowStale && f.skipStale:
		return exit(exitUsage, errStaleBoth)
	case f.processor != "" && (f.allowStale || f.skipStale):
		return exit(exitUsage, errStaleSink)
	case f.dryRun:
		return nil
	}
	return g.checkReason(f.reason)
}

// letterArgs reads coordinates, all of one dead-letter topic.
func letterArgs(args []string) (letters []holdfast.Coordinates, name string, err error) {
	for _, arg := range args {
		at, owner, err := letterArg(arg)
		if err != nil {
			return nil, "", err
		}
		if name != "" && owner != name {
			return nil, "", exit(exitUsage, errTwoTopics)
		}
		letters, name = append(letters, at), owner
	}
	return letters, name, nil
}

// target is that of the flags, or of the letters that were named.
func (f *redriveFlags) target(conn *connection, name string) (dlq.Target, error) {
	if name == "" {
		chosen, err := f.choose(conn.cfg)
		if err != nil {
			return dlq.Target{}, err
		}
		return chosen[0], nil
	}
	if flagged := f.sink + f.processor; flagged != "" && flagged != name {
		return dlq.Target{}, exit(exitUsage, errTwoTopics)
	}
	return named(targets(conn.cfg), func(t dlq.Target) bool { return t.Name == name }, name)
}

// limitOf is how often a letter of the target may be redriven.
func (f *redriveFlags) limitOf(conn *connection, target dlq.Target) int {
	limit := f.maxRedrives
	for _, s := range conn.cfg.Sinks {
		if limit == 0 && !target.Processor && s.Name == target.Name {
			if limit = s.DLQ.MaxRedrives; limit == 0 {
				return -1 // the configuration lets none pass
			}
		}
	}
	return limit
}

// staleOf is what to do with stale letters of the target.
func (f *redriveFlags) staleOf(conn *connection, target dlq.Target) dlq.Stale {
	switch {
	case !f.sends:
		return dlq.StaleUnasked
	case f.allowStale:
		return dlq.StaleSend
	case f.skipStale:
		return dlq.StaleSkip
	}
	for _, s := range conn.cfg.Sinks {
		if !target.Processor && s.Name == target.Name {
			return dlq.Stale(s.Stale)
		}
	}
	return dlq.StaleUnasked
}

// explain tells the plan to the person.
func (a *act) explain(g *globals) {
	g.note("%s, frozen at %s: %d match, %d to go, %d skipped",
		a.plan.Topic, a.plan.FrozenAt.Format(time.RFC3339), a.plan.Matched, a.plan.Sendable(), len(a.plan.Skipped))
	reasons := map[string]int{}
	var order []string
	for _, s := range a.plan.Skipped {
		if reasons[s.Reason]++; reasons[s.Reason] == 1 {
			order = append(order, s.Reason)
		}
	}
	for _, reason := range order {
		g.note("  %d skipped: %s", reasons[reason], reason)
	}
	if n := a.plan.Stale; n > 0 && a.stale == dlq.StaleSend {
		g.note("  %d go though a newer record of the same key was delivered meanwhile (--skip-stale leaves them out)", n)
	}
	if n := a.plan.StaleUnknown; n > 0 && a.stale == dlq.StaleSend {
		g.note("  %d go though nobody can tell whether a newer record of the same key was delivered (--skip-stale leaves them out)", n)
	}
	if a.plan.Parked > 0 {
		g.note("  %d wait behind a dead letter of their key, and follow it by themselves", a.plan.Parked)
	}
	if !a.sends {
		return
	}
	for _, b := range a.plan.Behind {
		g.note("  %s waits behind %s of its key, and goes when that one is redriven, skipped or discarded", b.Letter, b.Front)
	}
}

// patience is how long nobody may settle anything before that is remarked on,
// and how often progress is told.
const patience = 10 * time.Second

// progress tells how a redrive stands, and if nobody works at it.
func (a *act) progress(ctx context.Context, g *globals, job string) func(dlq.Outcome) {
	told := time.Now()
	return func(o dlq.Outcome) {
		if o.Pending == 0 || time.Since(told) < patience {
			return
		}
		told = time.Now()
		g.note("%s  %d/%d delivered  %d failed  %d to go", job, o.Delivered, o.Sent, o.Failed, o.Pending)
		if n := len(a.plan.Behind); n > 0 {
			g.note("%d to go behind another dead letter of the same key; Ctrl-C leaves what is on its way there", n)
		}
		if o.Delivered+o.Failed == 0 && !lookup.Busy(ctx, a.conn.admin, a.box.Target.Group()) {
			g.note("nobody reads %s: is a worker of %s running?", a.box.Target.Redrive(), a.box.Target.Name)
		}
	}
}

func printRedrive(g *globals, r redriveResult) error {
	if r.Skipped == nil {
		r.Skipped = []dlq.LeftOut{}
	}
	if r.DeadAgain == nil {
		r.DeadAgain = []string{}
	}
	return one(g, r, func(w io.Writer) error {
		if r.DryRun || r.Job == "" {
			_, err := fmt.Fprintf(w, "%d match, %d would be skipped, nothing was sent\n", r.Matched, len(r.Skipped))
			return err
		}
		_, err := fmt.Fprintf(w, "%s: %d sent, %d delivered, %d dead-lettered again, %d on their way, %d skipped\n",
			r.Job, r.Sent, r.Delivered, r.Failed, r.Pending, len(r.Skipped))
		for _, letter := range r.DeadAgain {
			_, _ = fmt.Fprintln(w, "  dead again: "+letter)
		}
		return err
	})
}

// settleResult is what `dlq discard` and `dlq ack` print.
type settleResult struct {
	Job     string        `json:"job"`
	Matched int           `json:"matched"`
	Noted   int           `json:"noted"`
	Skipped []dlq.LeftOut `json:"skipped"`
	DryRun  bool          `json:"dry_run"`
}

func dlqSettleCommand(g *globals, verb, short string, state dlq.State) *cobra.Command {
	var f redriveFlags
	c := &cobra.Command{
		Use: verb + " [TOPIC-PARTITION@OFFSET...]", Short: short, Args: cobra.ArbitraryArgs,
		Example: "  holdfast dlq " + verb + " dlq.stripe-invoices-2@4711 --reason INC-2041\n" +
			"  holdfast dlq " + verb + " --sink stripe-invoices --group 5f0a9d3c1e88 --reason INC-2041 --dry-run",
		RunE: func(c *cobra.Command, args []string) error {
			f.maxRedrives = 1 << 30 // the loop guard is about sending
			return settle(c.Context(), g, &f, args, state)
		},
	}
	f.add(c)
	return c
}

func settle(ctx context.Context, g *globals, f *redriveFlags, args []string, state dlq.State) error {
	a, err := planAct(ctx, g, f, args)
	if err != nil {
		return err
	}
	defer a.conn.close()
	r := settleResult{Matched: a.plan.Matched, Skipped: append([]dlq.LeftOut{}, a.plan.Skipped...), DryRun: f.dryRun}
	a.explain(g)
	if !f.dryRun {
		if err := g.checkConsent(f.reason); err != nil {
			return err
		}
	}
	if !f.dryRun && a.plan.Sendable() > 0 {
		if err := g.confirmAct(state, a.plan.Sendable()); err != nil {
			return err
		}
		r.Job = map[dlq.State]string{dlq.Discarded: "dc-", dlq.Skipped: "sk-", dlq.Acknowledged: "ak-"}[state] + shortID()
		if r.Noted, err = a.box.Settle(ctx, a.plan, dlq.Job{ID: r.Job, By: f.by, Reason: f.reason}, state); err != nil {
			err = dlqError(err)
		}
	}
	return errors.Join(err, one(g, r, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d match, %d %s, %d skipped\n", r.Matched, r.Noted, state, len(r.Skipped))
		return err
	}))
}

// confirmAct asks for the number of letters where they are given up for good.
func (g *globals) confirmAct(state dlq.State, n int) error {
	if state == dlq.Acknowledged || g.yes {
		return g.confirm(fmt.Sprintf("Mark %s as %s?", count(n, "dead letter"), state))
	}
	_, _ = fmt.Fprintf(g.err, "Give up %s for good? Type their number: ", count(n, "dead letter"))
	answer, _ := bufio.NewReader(g.in).ReadString('\n')
	if strings.TrimSpace(answer) != strconv.Itoa(n) {
		return exit(exitRefused, errors.New("not done"))
	}
	return nil
}

func shortID() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
