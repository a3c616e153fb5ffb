package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelpShowsHow: every command has examples that can be typed, and every
// value of a flag has a name that says what it is.
func TestHelpShowsHow(t *testing.T) {
	t.Parallel()
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if name, _ := pflag.UnquoteUsage(f); name != strings.ToUpper(name) {
				t.Errorf("%s --%s: %q says nothing of its value", c.CommandPath(), f.Name, name)
			}
		})
		for line := range strings.Lines(c.Example) {
			seen += typed(t, line, true)
		}
		if c.Example == "" && !c.HasSubCommands() {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	walk(newRoot(&globals{}))
	if seen < 40 {
		t.Errorf("%d examples were tried", seen)
	}
}

// TestTheDocsShowCommandsThatExist: what runbooks and guides tell people to type
// is parsed too.
func TestTheDocsShowCommandsThatExist(t *testing.T) {
	t.Parallel()
	seen := 0
	pages, err := filepath.Glob("../../docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md", "../../docs/delivery.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range regexp.MustCompile("(?m)^\\$ (holdfast .*)$|`(holdfast [^`]*\\s[^`]*)`").FindAllStringSubmatch(string(text), -1) {
			seen += typed(t, strings.ReplaceAll(shown[1]+shown[2], "\n", " "), shown[1] != "")
		}
	}
	if seen < 25 {
		t.Errorf("%d commands were found", seen)
	}
}

// typed parses the commands of a line, without running them, and counts them;
// one that is not whole may want arguments.
func typed(t *testing.T, line string, whole bool) (n int) {
	t.Helper()
	line, _, _ = strings.Cut(line, " #")
	line = regexp.MustCompile(`\||[<>] \S+`).ReplaceAllString(regexp.MustCompile(`'[^']*'`).ReplaceAllString(line, "x"), "\n")
	for command := range strings.SplitSeq(line, "\n") {
		args := strings.Fields(command)
		at := slices.Index(args, "holdfast")
		if at < 0 {
			continue
		}
		n++
		c, rest, err := newRoot(&globals{}).Find(args[at+1:])
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err == nil && c.HasSubCommands() {
			err = errVerb
		}
		if err == nil && c.Args != nil && whole {
			err = c.Args(c, c.Flags().Args())
		}
		if err != nil {
			t.Errorf("%q: %v", strings.TrimSpace(command), err)
		}
	}
	return n
}
