package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// column is one column of a table.
type column[T any] struct {
	name string
	cell func(T) string
}

// list prints rows as a table, a JSON array or JSON lines.
func list[T any](g *globals, rows []T, columns []column[T]) error {
	switch g.output {
	case "json":
		if rows == nil {
			rows = []T{}
		}
		return writeJSON(g.out, rows)
	case "jsonl":
		enc := json.NewEncoder(g.out)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	case "table", "wide":
		return writeTable(g.out, rows, columns)
	}
	return exit(exitUsage, fmt.Errorf("--output %q %w", g.output, errOutput))
}

func writeTable[T any](w io.Writer, rows []T, columns []column[T]) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = strings.ToUpper(c.name)
	}
	if _, err := fmt.Fprintln(tw, strings.Join(names, "\t")); err != nil {
		return err
	}
	for _, r := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = printable(c.cell(r))
		}
		if _, err := fmt.Fprintln(tw, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// one prints a single object: JSON where it was asked for, else what human writes.
func one(g *globals, v any, human func(io.Writer) error) error {
	if g.output == "json" || g.output == "jsonl" {
		return writeJSON(g.out, v)
	}
	return human(g.out)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printable keeps control characters of payloads away from the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return '�'
		}
		return r
	}, s)
}
