package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.internal"
	"holdfast.internal/producers/outbox"
)

var errNoOutbox = errors.New("the configuration has no outbox")

func outboxCommand(g *globals) *cobra.Command {
	var printDDL, failed bool
	var limit int
	initialise := &cobra.Command{
		Use: "init", Short: "Make the table", Example: "  holdfast outbox init\n  holdfast outbox init --print", Args: usage(cobra.NoArgs),
		RunE: withOutbox(g, func(c *cobra.Command, box *outbox.Outbox, _ []string) error {
			if printDDL {
				_, err := io.WriteString(g.out, box.DDL())
				return err
			}
			if err := box.Init(c.Context()); err != nil {
				return err
			}
			g.note("the table is there")
			return nil
		}),
	}
	initialise.Flags().BoolVar(&printDDL, "print", false, "print the SQL that makes it, and do nothing")
	status := &cobra.Command{
		Use: "status", Short: "Count pending, failed and published rows", Example: "  holdfast outbox status -o json", Args: usage(cobra.NoArgs),
		RunE: withOutbox(g, func(c *cobra.Command, box *outbox.Outbox, _ []string) error {
			s, err := box.Status(c.Context())
			if err != nil {
				return err
			}
			return one(g, s, func(w io.Writer) error {
				var oldest time.Time
				if s.OldestPending != nil {
					oldest = *s.OldestPending
				}
				_, err := fmt.Fprintf(w, "pending %d  oldest %s  failed %d  published %d\n", s.Pending, g.when(oldest), s.Failed, s.Published)
				return err
			})
		}),
	}
	show := &cobra.Command{
		Use: "list --failed", Short: "List refused rows", Example: "  holdfast outbox list --failed", Args: usage(cobra.NoArgs),
		RunE: withOutbox(g, func(c *cobra.Command, box *outbox.Outbox, _ []string) error {
			rows, err := box.ListFailed(c.Context(), limit)
			if err != nil {
				return err
			}
			return list(g, rows, []column[outbox.Failed]{
				{"id", func(f outbox.Failed) string { return f.ID }},
				{"aggregatetype", func(f outbox.Failed) string { return f.AggregateType }},
				{"aggregateid", func(f outbox.Failed) string { return f.AggregateID }},
				{"created", func(f outbox.Failed) string { return g.written(f.CreatedAt) }},
				{"error", func(f outbox.Failed) string { return firstRule(f.Error) }},
			}, column[outbox.Failed]{"all errors", func(f outbox.Failed) string { return strings.ReplaceAll(f.Error, "\n", "; ") }})
		}),
	}
	show.Flags().BoolVar(&failed, "failed", true, "refused rows; the only ones listed")
	show.Flags().IntVar(&limit, "limit", 100, "at most `N` rows")
	retry := &cobra.Command{
		Use: "retry ID...", Short: "Let refused rows be sent again", Args: usage(cobra.MinimumNArgs(1)),
		Long: `Sends rows of the outbox again that did not fit their schema, once row or schema is
mended; holdfast outbox list shows their IDs. Exits 5 if some are no such rows.`,
		Example: "  holdfast outbox retry 5f1c2ab0-7c1e-4d7e-9a51-3f0f6a1d2b3c",
		RunE: withOutbox(g, func(c *cobra.Command, box *outbox.Outbox, ids []string) error {
			if err := checkRows(ids); err != nil {
				return err
			}
			unknown, err := box.Retry(c.Context(), ids...)
			if err != nil {
				return err
			}
			n := len(ids) - len(unknown)
			if err := one(g, map[string]int{"retried": n}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d of %d rows wait again\n", n, len(ids))
				return err
			}); err != nil {
				return err
			}
			if len(unknown) > 0 {
				g.note("no refused row: %s (holdfast outbox list shows those; what waits or was sent is none)", strings.Join(unknown, ", "))
				return exit(exitPartly, nil)
			}
			return nil
		}),
	}
	return group("outbox", "Make and look at the outbox table", initialise, show, retry, status)
}

// checkRows tells letters from rows: both are what somebody wants to send again.
func checkRows(ids []string) error {
	for _, id := range ids {
		if at, err := holdfast.ParseCoordinates(id); err == nil {
			return exit(exitUsage, fmt.Errorf("%s is a record in Kafka and no row of the outbox; a dead letter is sent again by `holdfast dlq redrive %[1]s`", at))
		}
	}
	return nil
}

// written is [globals.when] of a time that the database wrote.
func (g *globals) written(text string) string {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return g.when(t)
}

// firstRule is the first of the rules that a row breaks, and how many more there are.
func firstRule(text string) string {
	first, more, _ := strings.Cut(text, "\n")
	if more == "" {
		return first
	}
	return fmt.Sprintf("%s (%d more: -o wide)", first, 1+strings.Count(more, "\n"))
}

// withOutbox opens the configured outbox for a command.
func withOutbox(g *globals, f func(*cobra.Command, *outbox.Outbox, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		cfg, err := g.loadConfig()
		if err != nil {
			return err
		}
		if cfg.Outbox.Kind == "" {
			return exit(exitFindings, errNoOutbox)
		}
		box, err := openOutbox(cfg.Outbox)
		if err != nil {
			return err
		}
		defer func() { _ = box.Close() }()
		ctx, cancel := g.bounded(c.Context())
		defer cancel()
		c.SetContext(ctx)
		err = f(c, box, args)
		if errors.Is(err, outbox.ErrNoTable) {
			return exit(exitFindings, fmt.Errorf("%w: run `holdfast outbox init`", err))
		}
		return err
	}
}
