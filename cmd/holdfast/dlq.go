package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.internal"
	"holdfast.internal/internal/config"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/scan"
)

var (
	errNoTarget  = errors.New("no such sink or processor in the configuration")
	errNotLetter = errors.New("is in no dead-letter topic")
	errOneTarget = errors.New("--sink and --processor exclude each other")
	errTime      = errors.New("must be a duration such as 2h, or a time such as 2026-11-24T03:00:00Z")
)

func dlqCommand(g *globals) *cobra.Command {
	return group("dlq", "List, show and redrive dead letters",
		dlqSettleCommand(g, "ack", "Note that somebody looks after letters; they stay redrivable", dlq.Acknowledged),
		dlqSettleCommand(g, "discard", "Give letters up for good; they stay readable", dlq.Discarded),
		dlqListCommand(g),
		dlqRedriveCommand(g),
		dlqShowCommand(g),
		dlqSettleCommand(g, "skip", "Let what waits behind letters go without them; they stay readable", dlq.Skipped),
	)
}

// letterFlags choose dead letters.
type letterFlags struct {
	sink, processor         string
	class, code, key, group string
	since, until            string
	status, limit           int
	keyGiven                func() bool
}

func (f *letterFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.sink, "sink", "", "dead letters of the sink `NAME`")
	flags.StringVar(&f.processor, "processor", "", "dead letters of the processor `NAME`")
	flags.StringVar(&f.class, "class", "", "of the error `CLASS`, such as validation")
	flags.StringVar(&f.code, "code", "", "of the `CODE`, such as card_declined")
	flags.IntVar(&f.status, "status", 0, "of the HTTP `STATUS`, such as 402")
	flags.StringVar(&f.key, "key", "", "of the `KEY`, as text or hex")
	flags.StringVar(&f.group, "group", "", "of the `GROUP` that dlq list shows: letters of one cause")
	flags.StringVar(&f.group, "fingerprint", "", "the same as --group `GROUP`")
	flags.StringVar(&f.since, "since", "", "failed last at or after `TIME`: 2h (ago), or 2026-11-24T03:00:00Z")
	flags.StringVar(&f.until, "until", "", "failed last before `TIME`, written likewise")
	flags.IntVar(&f.limit, "limit", 0, "at most `N` letters; 0 for all")
	f.keyGiven = func() bool { return flags.Changed("key") }
}

func (f *letterFlags) filter(now time.Time) (dlq.Filter, error) {
	out := dlq.Filter{Class: f.class, Code: f.code, Status: f.status, Group: f.group}
	if f.keyGiven() {
		out.Key = &f.key
	}
	if f.class != "" && string(holdfast.ParseClass(f.class)) != f.class {
		var classes []string
		for _, c := range holdfast.Classes() {
			classes = append(classes, string(c))
		}
		return out, exit(exitUsage, fmt.Errorf("--class %q must be one of %s%s", f.class, strings.Join(classes, ", "), config.DidYouMean(f.class, classes)))
	}
	var err error
	if out.Since, err = moment("--since", f.since, now); err != nil {
		return out, err
	}
	out.Until, err = moment("--until", f.until, now)
	return out, err
}

// moment reads a time, or a duration before now.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, exit(exitUsage, fmt.Errorf("%s %q %w", flag, text, errTime))
}

// targets are the sinks and processors of a configuration, in its order.
func targets(cfg *config.Config) []dlq.Target {
	var all []dlq.Target
	for _, p := range cfg.Processors {
		all = append(all, dlq.Target{Name: p.Name, Source: p.In, Processor: true})
	}
	for _, s := range cfg.Sinks {
		all = append(all, dlq.Target{
			Name: s.Name, Kind: s.Kind, Source: s.In, Tiers: s.Retry.Tiers,
			FromLatest: s.Start == config.StartLatest, Park: s.OnDeadLetter == config.Park,
		})
	}
	return all
}

// choose returns the targets that --sink or --processor name; all without either.
func (f *letterFlags) choose(cfg *config.Config) ([]dlq.Target, error) {
	all := targets(cfg)
	if f.sink == "" && f.processor == "" {
		return all, nil
	}
	if f.sink != "" && f.processor != "" {
		return nil, exit(exitUsage, errOneTarget)
	}
	name, processor := f.sink+f.processor, f.processor != ""
	t, err := named(all, func(t dlq.Target) bool { return t.Name == name && t.Processor == processor }, name)
	if err != nil {
		if slices.ContainsFunc(all, func(t dlq.Target) bool { return t.Name == name }) {
			err = otherKind(name, processor)
		}
		return nil, err
	}
	return []dlq.Target{t}, nil
}

// otherKind says that a name is there, and which flag takes it.
func otherKind(name string, processor bool) error {
	given, is := "sink", "processor"
	if processor {
		given, is = is, given
	}
	return exit(exitUsage, fmt.Errorf("--%s %q is a %s: use --%[3]s %[2]s", given, name, is))
}

func named(all []dlq.Target, is func(dlq.Target) bool, name string) (dlq.Target, error) {
	i := slices.IndexFunc(all, is)
	if i < 0 {
		var names []string
		for _, t := range all {
			names = append(names, t.Name)
		}
		return dlq.Target{}, exit(exitUsage, fmt.Errorf("%q: %w, which has %s%s", name, errNoTarget, strings.Join(names, ", "), config.DidYouMean(name, names)))
	}
	return all[i], nil
}

// letterArg reads coordinates of a dead letter.
func letterArg(arg string) (at holdfast.Coordinates, name string, err error) {
	at, err = holdfast.ParseCoordinates(arg)
	if err != nil {
		return at, "", exit(exitUsage, fmt.Errorf("%w, as dlq list shows them; all letters of a sink or processor are chosen by --sink NAME or --processor NAME", err))
	}
	name, ok := dlq.TargetOf(at.Topic)
	if !ok {
		return at, "", exit(exitUsage, fmt.Errorf("%s %w: `holdfast find %[1]s` tells where the record is now", at, errNotLetter))
	}
	return at, name, nil
}

func (c *connection) box(t dlq.Target) *dlq.Box {
	return &dlq.Box{Target: t, Client: c.client, Scanner: scan.Scanner{Connect: c.opts}, Values: c.serde}
}

// reach connects within --timeout; what follows may take as long as there is to read.
func (g *globals) reach(ctx context.Context) (*connection, error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	return g.connect(ctx)
}

// dlqError gives the errors of package dlq their exit codes.
func dlqError(err error) error {
	switch {
	case errors.Is(err, dlq.ErrPartitions):
		return exit(exitFindings, err)
	case errors.Is(err, scan.ErrNoTopic) && !errors.Is(err, dlq.ErrNoLetter):
		return exit(exitFindings, fmt.Errorf("%w (holdfast topic plan shows what is missing)", err))
	}
	return err
}

// me is who acts, where --by does not say.
func me() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}

func dlqListCommand(g *globals) *cobra.Command {
	var f letterFlags
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "List open dead letters", Args: usage(cobra.NoArgs),
		Long: `Lists the dead letters that nobody has decided on, of all sinks and processors or
of the one that is named. GROUP is the same for letters of one cause. A table has
1,000 lines at most unless --limit says otherwise; json and jsonl have all.`,
		Example: `  holdfast dlq list
  holdfast dlq list --sink stripe-invoices --since 2h --status 402
  holdfast dlq list --processor invoice-command -o wide
  holdfast dlq list --sink stripe-invoices -o jsonl | jq -r .fingerprint | sort | uniq -c`,
		RunE: func(c *cobra.Command, _ []string) error { return dlqList(c.Context(), g, &f, all) },
	}
	f.add(c)
	c.Flags().BoolVar(&all, "all", false, "parked and acknowledged ones too, and those that are settled")
	return c
}

// maxTable is how many rows a table shows unless --limit says otherwise; json
// and jsonl are written as they are read.
const maxTable = 1000

func dlqList(ctx context.Context, g *globals, f *letterFlags, all bool) error {
	filter, err := f.filter(time.Now())
	if err != nil {
		return err
	}
	conn, err := g.reach(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	chosen, err := f.choose(conn.cfg)
	if err != nil {
		return err
	}
	limit := f.limit
	if streamed := g.output == formatJSON || g.output == formatJSONL; limit == 0 && !streamed {
		limit = maxTable
	}
	rows := newStream[dlq.Letter](g)
	for _, t := range chosen {
		if limit > 0 && rows.count >= limit {
			break
		}
		o := dlq.ListOptions{Filter: filter, All: all}
		if limit > 0 {
			o.Limit = limit - rows.count
		}
		if err = conn.box(t).List(ctx, o, rows.add); err != nil {
			break
		}
	}
	if err := errors.Join(dlqError(err), rows.end(letterColumns(g, all), letterDetails(g)...)); err != nil {
		return err
	}
	if f.limit == 0 && rows.count == maxTable && limit > 0 {
		g.note("the first %d; --limit N shows more, -o jsonl all", maxTable)
	}
	if rows.count == 0 {
		g.note("no dead letters")
	}
	return nil
}

// letterColumns are those of a list; only one of all letters needs to tell their state.
func letterColumns(g *globals, all bool) []column[dlq.Letter] {
	columns := []column[dlq.Letter]{
		{"letter", func(l dlq.Letter) string { return l.Coordinates().String() }},
		{"key", func(l dlq.Letter) string { return orDash(l.Key) }},
		{"error", func(l dlq.Letter) string { return strings.Join(nonEmpty(statusText(l.Status), l.Class, l.Code), " ") }},
		{"attempts", func(l dlq.Letter) string { return strconv.Itoa(l.Attempts) }},
		{"failed", func(l dlq.Letter) string { return g.whenever(l.LastFailed) }},
		{"group", func(l dlq.Letter) string { return l.Fingerprint }},
	}
	if all {
		columns = append(columns, column[dlq.Letter]{"state", func(l dlq.Letter) string { return string(l.State) }})
	}
	return columns
}

func letterDetails(g *globals) []column[dlq.Letter] {
	return []column[dlq.Letter]{
		{"redrives", func(l dlq.Letter) string { return strconv.Itoa(l.Redrives) }},
		{"event", func(l dlq.Letter) string { return l.EventID }},
		{"origin", func(l dlq.Letter) string { return l.Origin }},
		{"first failed", func(l dlq.Letter) string { return g.whenever(l.FirstFailed) }},
		{"detail", func(l dlq.Letter) string { return l.Detail }},
	}
}

func dlqShowCommand(g *globals) *cobra.Command {
	var reveal bool
	var by string
	c := &cobra.Command{
		Use: "show TOPIC-PARTITION@OFFSET", Short: "Show one dead letter with all that it holds", Args: usage(cobra.ExactArgs(1)),
		Example: `  holdfast dlq show dlq.stripe-invoices-2@4711
  holdfast dlq show dlq.stripe-invoices-2@4711 --reveal     # noted in holdfast.audit`,
		RunE: func(c *cobra.Command, args []string) error { return dlqShow(c.Context(), g, args[0], reveal, by) },
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show personal data; that you did is written down")
	c.Flags().StringVar(&by, "by", me(), "`NAME` of who does it, for those who come after")
	return c
}

func dlqShow(ctx context.Context, g *globals, arg string, reveal bool, by string) error {
	at, name, err := letterArg(arg)
	if err != nil {
		return err
	}
	conn, err := g.reach(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	target, err := named(targets(conn.cfg), func(t dlq.Target) bool { return t.Name == name }, name)
	if err != nil { // another configuration's letter can be read all the same
		target = dlq.Target{Name: name}
	}
	bounded, cancel := g.bounded(ctx)
	defer cancel()
	shown, err := conn.box(target).Show(bounded, at, reveal, by)
	if err != nil {
		return dlqError(err)
	}
	return one(g, shown, func(w io.Writer) error { return writeLetter(g, w, shown) })
}

func orDash(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func (g *globals) whenever(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return g.when(*t)
}

func statusText(status int) string {
	if status == 0 {
		return ""
	}
	return strconv.Itoa(status)
}

func nonEmpty(words ...string) []string {
	return slices.DeleteFunc(words, func(s string) bool { return s == "" })
}
