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
		Use: "lag", Short: "Count what waits, per sink: live, in tiers, dead, parked", Args: usage(cobra.NoArgs),
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
		{"sink", func(l lookup.Lag) string { return l.Sink }},
		{"live", number(func(l lookup.Lag) int64 { return l.Live })},
		{"redrive", number(func(l lookup.Lag) int64 { return l.Redrive })},
		{"retry (due, late)", retryText},
		{"dlq", number(func(l lookup.Lag) int64 { return l.DLQ })},
		{"parked keys", number(func(l lookup.Lag) int64 { return l.ParkedKeys })},
		{"breaker", func(l lookup.Lag) string { return orDash(l.Breaker) }},
		{"next", func(l lookup.Lag) string { return cmp.Or(l.Next, "-") }},
	}, column[lookup.Lag]{"parked records", number(func(l lookup.Lag) int64 { return l.ParkedRecords })}); err != nil {
		return err
	}
	for _, l := range rows {
		if l.Partial != "" {
			g.note("%s: counts are estimates: %s", l.Sink, l.Partial)
		}
	}
	return nil
}

// retryText is such as 1m:40 2m:8 4m:0 (3, 0).
func retryText(l lookup.Lag) string {
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
