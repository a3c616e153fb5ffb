package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v3"
)

// The formats of --output.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatJSONL = "jsonl"
	formatYAML  = "yaml"
)

func formats() []string {
	return []string{formatTable, formatWide, formatJSON, formatJSONL, formatYAML}
}

var errFormat = errors.New("must be one of")

// checkFormat is called before a command does anything, so that a typo in
// --output or --time changes nothing.
func (g *globals) checkFormat(more ...string) error {
	for _, f := range []struct {
		flag, value string
		allowed     []string
	}{
		{"--output", g.output, append(formats(), more...)},
		{"--time", g.timeFormat, []string{"relative", "iso", "unix"}},
		{"--color", g.color, []string{"auto", "always", "never"}},
	} {
		if !slices.Contains(f.allowed, f.value) {
			return exit(exitUsage, fmt.Errorf("%s %q %w %s", f.flag, f.value, errFormat, strings.Join(f.allowed, ", ")))
		}
	}
	return nil
}

// column is one column of a table. JSON and YAML show the rows themselves.
type column[T any] struct {
	name string
	cell func(T) string
}

// list prints rows as --output says. The further columns are those that only
// -o wide shows.
func list[T any](g *globals, rows []T, columns []column[T], further ...column[T]) error {
	if rows == nil {
		rows = []T{}
	}
	switch g.output {
	case formatJSON:
		return writeJSON(g.out, rows)
	case formatJSONL:
		for _, r := range rows {
			if err := writeJSON(g.out, r); err != nil {
				return err
			}
		}
		return nil
	case formatYAML:
		return writeYAML(g.out, rows)
	case formatWide:
		columns = append(slices.Clone(columns), further...)
	}
	return writeTable(g, rows, columns)
}

// one prints a single object: as data where that was asked for, else what
// human writes.
func one(g *globals, v any, human func(io.Writer) error) error {
	switch g.output {
	case formatJSON, formatJSONL:
		return writeJSON(g.out, v)
	case formatYAML:
		return writeYAML(g.out, v)
	}
	return human(g.out)
}

func writeTable[T any](g *globals, rows []T, columns []column[T]) error {
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = strings.ToUpper(c.name)
	}
	_, _ = fmt.Fprintln(tw, strings.Join(names, "\t"))
	for _, r := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = printable(c.cell(r))
		}
		_, _ = fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	_ = tw.Flush()
	header, body, _ := strings.Cut(b.String(), "\n")
	_, err := fmt.Fprintf(g.out, "%s\n%s", g.paint(bold, strings.TrimRight(header, " ")), body)
	return err
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// writeYAML goes through JSON, so that names and their order are the same in both.
func writeYAML(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return fmt.Errorf("yaml: %w", err)
	}
	block(&node)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return fmt.Errorf("yaml: %w", err)
	}
	return enc.Close()
}

// block takes JSON's braces away; text stays quoted where it must be.
func block(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.SetString(n.Value)
	}
	for _, c := range n.Content {
		block(c)
	}
}

// when writes a time for tables as --time says; "-" for none.
func (g *globals) when(t time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case g.timeFormat == "unix":
		return strconv.FormatInt(t.Unix(), 10)
	case g.timeFormat == "iso":
		return t.UTC().Format(time.RFC3339)
	}
	return humanize.CustomRelTime(t, time.Now(), "ago", "from now", shortly())
}

// shortly is how far off a time is, in as few letters as tables have room for: 3h ago.
func shortly() []humanize.RelTimeMagnitude {
	return []humanize.RelTimeMagnitude{
		{D: time.Second, Format: "now"},
		{D: time.Minute, Format: "%ds %s", DivBy: time.Second},
		{D: time.Hour, Format: "%dm %s", DivBy: time.Minute},
		{D: 2 * humanize.Day, Format: "%dh %s", DivBy: time.Hour},
		{D: humanize.LongTime, Format: "%dd %s", DivBy: humanize.Day},
	}
}

// note tells the person, and never the program behind a pipe.
func (g *globals) note(format string, args ...any) {
	if !g.quiet {
		_, _ = fmt.Fprintf(g.err, format+"\n", args...)
	}
}

// Styles of terminals.
const (
	bold   = "1"
	red    = "31"
	yellow = "33"
)

// paint colours text if stdout is a terminal that wants it.
func (g *globals) paint(style, text string) string {
	if !g.colored() || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
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
