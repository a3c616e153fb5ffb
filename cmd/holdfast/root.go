package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// globals are the flags of every command, and the streams: stdout is for data
// only, everything else goes to stderr.
type globals struct {
	config     string
	output     string
	timeFormat string
	color      string
	timeout    time.Duration
	yes        bool
	noInput    bool
	verbose    bool
	quiet      bool

	in       io.Reader
	out, err io.Writer
}

// commands lists every subcommand. Keep it sorted.
func commands(g *globals) []*cobra.Command {
	return []*cobra.Command{
		configCommand(g),
		demoCommand(g),
		devCommand(g),
		dlqCommand(g),
		findCommand(g),
		healthcheckCommand(g),
		lagCommand(g),
		outboxCommand(g),
		produceCommand(g),
		runCommand(g),
		schemaCommand(g),
		sinkCommand(g),
		topicCommand(g),
		validateCommand(g),
		versionCommand(g),
	}
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot(&globals{in: in, out: out, err: errs}) //nolint:contextcheck // cobra hands each command its context
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		_, _ = fmt.Fprintln(errs, "holdfast: "+err.Error())
	}
	return exitCode(ctx, err)
}

// newRoot makes the command and all below it.
func newRoot(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "Delivers Kafka events to SaaS APIs and databases, in order, once in effect",
		Long:          rootHelp,
		Example:       rootExamples,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          needsVerb,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			return g.checkFormat(strings.Fields(c.Annotations[moreFormats])...)
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	flags := root.PersistentFlags()
	flags.StringVar(&g.config, "config", "", "configuration `FILE`, or a folder with holdfast.yaml (default $HOLDFAST_CONFIG, ./holdfast.yaml, ./.holdfast of dev)")
	flags.StringVarP(&g.output, "output", "o", formatTable, "`FORMAT` of stdout: "+strings.Join(formats(), ", "))
	flags.StringVar(&g.timeFormat, "time", "relative", "`FORMAT` of times in tables: relative, iso or unix")
	flags.StringVar(&g.color, "color", "auto", "`WHEN` to colour: auto (on a terminal, unless NO_COLOR is set), always or never")
	flags.DurationVar(&g.timeout, "timeout", 30*time.Second, "`DURATION` to wait for Kafka, the registry and the outbox at most")
	flags.BoolVarP(&g.yes, "yes", "y", false, "do not ask before something is changed")
	flags.BoolVar(&g.noInput, "no-input", false, "never ask: without --yes, exit 6")
	flags.BoolVarP(&g.verbose, "verbose", "v", false, "log what is of use to developers too")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "print data and errors, no remarks")
	root.AddCommand(commands(g)...)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit(exitUsage, err) })
	return root
}

var (
	errVerb    = errors.New("a command is missing")
	errCommand = errors.New("unknown command")
)

// moreFormats annotates a command with the values of --output that it alone has.
const moreFormats = "formats"

// group is a command that only has verbs. Without one, or with a typo, it is a
// usage error: cobra alone would print help and succeed.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: needsVerb}
	c.AddCommand(verbs...)
	return c
}

func needsVerb(c *cobra.Command, args []string) error {
	var names []string
	for _, verb := range c.Commands() {
		if verb.IsAvailableCommand() {
			names = append(names, verb.Name())
		}
	}
	if len(args) == 0 {
		return exit(exitUsage, fmt.Errorf("%w: %s takes %s", errVerb, c.CommandPath(), strings.Join(names, ", ")))
	}
	hint := ""
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(" (did you mean %q?)", near[0])
	}
	return exit(exitUsage, fmt.Errorf("%w %q%s; %s takes %s", errCommand, args[0], hint, c.CommandPath(), strings.Join(names, ", ")))
}

// args wraps cobra's checks so that they are usage errors.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return exit(exitUsage, fmt.Errorf("%w; usage: %s", err, c.UseLine()))
		}
		return nil
	}
}

// bounded ends what talks to Kafka and the registry after --timeout.
func (g *globals) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, g.timeout)
}

// colored reports whether stdout shows colours.
func (g *globals) colored() bool {
	if g.color != "auto" {
		return g.color == "always"
	}
	file, ok := g.out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd()))
}
