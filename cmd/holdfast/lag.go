package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.internal/internal/lookup"
)

func lagCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "lag", Short: "Count what waits: live, in tiers, dead, parked; and what each sink waits for", Args: usage(cobra.NoArgs),
		Long: `Counts the records that each sink and processor has not settled: LIVE in its
source, REDRIVE on the way back from the dead letters, in each tier of RETRY (and
of these, how many are due, and late by more than 10 s), DLQ open dead letters,
PARKED keys of which records wait behind an earlier one. NEXT says what a sink
waits for. It reads Kafka alone, and works with every worker down.`,
		Example: `  holdfast lag
  watch -n 5 holdfast lag
  holdfast lag -o json | jq '.[] | select(.kind == "sink") | {sink, live, dlq}'`,
		RunE: func(c *cobra.Command, _ []string) error { return lag(c.Context(), g) },
	}
}

func lag(ctx context.Context, g *globals) error {
	conn, err := g.reach(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	rows, err := conn.lookup().Lag(ctx, lookup.LagBudget())
	if err != nil {
		return err
	}
	number := func(f func(lookup.Lag) int64) func(lookup.Lag) string {
		return func(l lookup.Lag) string { return strconv.FormatInt(f(l), 10) }
	}
	if err := list(g, rows, []column[lookup.Lag]{
		{"name", func(l lookup.Lag) string { return l.Sink + l.Processor }},
		{"kind", func(l lookup.Lag) string { return string(l.Kind) }},
		{"live", number(func(l lookup.Lag) int64 { return l.Live })},
		{"redrive", number(func(l lookup.Lag) int64 { return l.Redrive })},
		{"retry (due, late)", retryText},
		{"dlq", number(func(l lookup.Lag) int64 { return l.DLQ })},
		{"parked", number(func(l lookup.Lag) int64 { return l.ParkedKeys })},
		{"breaker", func(l lookup.Lag) string { return orDash(l.Breaker) }},
		{"next", nextText},
	}, column[lookup.Lag]{"parked records", number(func(l lookup.Lag) int64 { return l.ParkedRecords })}); err != nil {
		return err
	}
	if len(rows) == 0 {
		g.note("neither a sink nor a processor is configured in %s", conn.cfg.File)
	}
	for _, l := range rows {
		if l.Partial != "" {
			g.note("%s: counts are estimates: %s", l.Sink+l.Processor, l.Partial)
		}
	}
	return nil
}

// nextText says what happens next, or why nothing does.
func nextText(l lookup.Lag) string {
	if l.Next == "" && l.Workers != nil && *l.Workers == 0 {
		return "no worker"
	}
	return cmp.Or(l.Next, "-")
}

// retryText is such as 1m:40 2m:8 4m:0 (3, 0).
func retryText(l lookup.Lag) string {
	if len(l.Retry) == 0 {
		return "-"
	}
	names := slices.SortedFunc(maps.Keys(l.Retry), func(a, b string) int { return int(delay(a) - delay(b)) })
	var waiting []string
	var due, late int64
	for _, name := range names {
		tier := l.Retry[name]
		waiting = append(waiting, name+":"+strconv.FormatInt(tier.Waiting, 10))
		due, late = due+tier.Due, late+tier.Late
	}
	return fmt.Sprintf("%s (%d, %d)", strings.Join(waiting, " "), due, late)
}

func delay(tier string) time.Duration {
	d, _ := time.ParseDuration(tier)
	return d
}
