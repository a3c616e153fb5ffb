package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"holdfast.internal/internal/dlq"
)

// writeLetter shows a dead letter to a person. Control characters of payloads
// stay out of the terminal: JSON escapes them, the rest goes through printable.
func writeLetter(g *globals, w io.Writer, s *dlq.Shown) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name string, words ...string) {
		if text := strings.Join(nonEmpty(words...), "  "); text != "" {
			_, _ = fmt.Fprintf(tw, "%s\t%s\n", name, printable(text))
		}
	}
	line("Event", s.EventID, "key "+orDash(s.Key))
	line("Origin", s.Origin, from(s.Parent))
	line("Error", strings.Join(nonEmpty(statusText(s.Status), s.Class, s.Code), " "), prefixed("request ", s.RequestID), count(s.Attempts, "attempt"))
	line("Detail", s.Detail)
	if s.Message != s.Detail {
		line("Message", s.Message)
	}
	line("Failed", "first "+g.whenever(s.FirstFailed), "last "+g.whenever(s.LastFailed))
	if s.Schema != nil {
		line("Schema", s.Schema.Name, fmt.Sprintf("%s id %d", s.Schema.Subject, s.Schema.ID))
	}
	line("State", string(s.State), count(s.Redrives, "earlier redrive"), prefixed("fingerprint ", s.Fingerprint))
	if d := s.Disposition; d != nil {
		line("Decided", fmt.Sprintf("%s by %s: %s", d.State, d.By, d.Reason), g.when(d.At))
	}
	for i, a := range s.AttemptsLog {
		line(first(i, "Attempts"), a.Time.UTC().Format(time.RFC3339), a.Tier, strings.Join(nonEmpty(statusText(a.Status), string(a.Class), a.Code), " "), fmt.Sprintf("%d ms", a.Millis))
	}
	told := func(name string) bool {
		return strings.HasPrefix(name, "holdfast.") || strings.HasPrefix(name, "__dlq.")
	} // above
	for i, name := range slices.DeleteFunc(slices.Sorted(maps.Keys(s.Headers)), told) {
		line(first(i, "Headers"), fmt.Sprintf("%s: %v", name, s.Headers[name]))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if err := indent(w, s.Value); err != nil {
		return err
	}
	if s.State == dlq.Open || s.State == dlq.Acknowledged {
		g.note("next:  holdfast dlq redrive %s --reason WHY", s.Coordinates())
	}
	if s.Masked {
		g.note("personal data is masked; --reveal shows it")
	}
	return nil
}

// count is such as 1 attempt, 2 attempts.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func first(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

func from(parent string) string { return prefixed("from ", parent) }

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
