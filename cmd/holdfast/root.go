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
	g := &globals{in: in, out: out, err: errs}
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "Delivers Kafka events to SaaS APIs and databases, in order, once in effect",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          needsVerb,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			return g.checkFormat(strings.Fields(c.Annotations[moreFormats])...)
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVar(&g.config, "config", "", "configuration `FILE`, or a folder with holdfast.yaml, such as the --data of a dev (default $HOLDFAST_CONFIG, ./holdfast.yaml, ./.holdfast)")
	flags.StringVarP(&g.output, "output", "o", formatTable, strings.Join(formats(), ", "))
	flags.StringVar(&g.timeFormat, "time", "relative", "times in tables: relative, iso or unix")
	flags.StringVar(&g.color, "color", "auto", "auto, always or never; NO_COLOR is obeyed")
	flags.DurationVar(&g.timeout, "timeout", 30*time.Second, "how long to wait for Kafka and the registry")
	flags.BoolVarP(&g.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&g.noInput, "no-input", false, "never prompt")
	flags.BoolVarP(&g.verbose, "verbose", "v", false, "log more")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "data and errors alone")
	root.AddCommand(commands(g)...) //nolint:contextcheck // cobra hands each command its context
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit(exitUsage, err) })
	err := root.ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		_, _ = fmt.Fprintln(errs, "holdfast: "+err.Error())
	}
	return exitCode(ctx, err)
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
