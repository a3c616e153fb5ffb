package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.internal/internal/lookup"
	"holdfast.internal/internal/scan"
)

var errNothing = errors.New("nothing found")

// Bounds of one search, unless --budget says otherwise.
const (
	findTime  = 20 * time.Second
	findBytes = 1 << 30
)

func findCommand(g *globals) *cobra.Command {
	var budget time.Duration
	c := &cobra.Command{
		Use:   "find EVENT-ID|KEY|COORDINATES|VENDOR-ID|TEXT",
		Short: "Tell where a record is now, where it lay, and what the vendor made of it",
		Long: `Finds records by what other commands, vendors and people call them: an event id
or ce_id, a key (as text or hex), coordinates, a vendor's id of an object or of a
request. If it is none of these, records are found that have it as a whole field,
such as an invoice's number, if it is 4 bytes long or more. Exits 1 if nothing is
found.`,
		Example: `  holdfast find crm/inv_8812                  # EVENT of this command, Event of dlq show
  holdfast find cus_0044                      # a key: all records of the customer
  holdfast find dlq.stripe-invoices-2@4711    # a letter of dlq list
  holdfast find in_00000647                   # what Stripe calls its invoice
  holdfast find 2026-0007-000152              # an invoice's number`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error { return find(c.Context(), g, args[0], budget) },
	}
	c.Flags().DurationVar(&budget, "budget", findTime, "`DURATION` to read at most; the newest records first")
	return c
}

func find(ctx context.Context, g *globals, query string, budget time.Duration) error {
	conn, err := g.reach(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	found, err := conn.lookup().Find(ctx, query, scan.Budget{Time: budget, Bytes: findBytes})
	if err != nil {
		return err
	}
	if err := printMatches(g, found.Matches); err != nil {
		return err
	}
	if found.Partial != "" {
		g.note("partial: %s; --budget 5m reads on", found.Partial)
	}
	switch {
	case len(found.Matches) > 0:
	case len(query) < lookup.LeastText:
		return fmt.Errorf("%q: %w: it is no id and no key, and texts in values are looked for from %d bytes on", query, errNothing, lookup.LeastText)
	default:
		return fmt.Errorf("%q: %w", query, errNothing)
	}
	return nil
}

func (c *connection) lookup() *lookup.Lookup {
	return &lookup.Lookup{Targets: targets(c.cfg), Client: c.client, Scanner: scan.Scanner{Connect: c.opts}}
}

func printMatches(g *globals, matches []lookup.Match) error {
	err := list(g, matches, []column[lookup.Match]{
		{"state", func(m lookup.Match) string { return string(m.State) }},
		{"at", func(m lookup.Match) string { return m.Sink + m.Processor }},
		{"key", func(m lookup.Match) string { return orDash(m.Key) }},
		{"record", func(m lookup.Match) string { return m.At }},
		{"attempts", func(m lookup.Match) string { return strconv.Itoa(m.Attempts) }},
		{"vendor", func(m lookup.Match) string {
			if m.VendorIDs == nil {
				return "-"
			}
			return cmp.Or(m.VendorIDs.ObjectID, m.VendorIDs.RequestID, "-")
		}},
		{"note", func(m lookup.Match) string { return cmp.Or(m.Note, "-") }},
	}, column[lookup.Match]{"event", func(m lookup.Match) string { return m.EventID }}, column[lookup.Match]{"request", func(m lookup.Match) string {
		if m.VendorIDs == nil {
			return "-"
		}
		return cmp.Or(m.VendorIDs.RequestID, "-")
	}}, column[lookup.Match]{"hops", func(m lookup.Match) string {
		var places []string
		for _, h := range m.Hops {
			places = append(places, h.At)
		}
		return strings.Join(places, " > ")
	}})
	if err != nil || g.output != formatTable || len(matches) != 1 {
		return err
	}
	for _, h := range matches[0].Hops {
		line := strings.Join(nonEmpty(g.when(h.Written), h.At, statusText(h.Status), h.Class, h.Code), "  ")
		if _, err := fmt.Fprintln(g.out, "  "+printable(line)); err != nil {
			return err
		}
	}
	return nil
}
