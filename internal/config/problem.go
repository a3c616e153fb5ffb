package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a file. It never quotes a value that came from the
// environment or a file, nor a secret.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 1 is the first; 0 where no place is known
	Column  int    `json:"column"`
	Path    string `json:"path"` // sinks[0].retry.tiers[1]; "" for the file
	Message string `json:"message"`
	// Warning is true for what stops nothing.
	Warning bool `json:"warning"`
}

// String returns file:line:col: path: message.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems are all mistakes of a file, in its order. It is the error of [Load].
type Problems []Problem //nolint:errname // read as a list, returned as an error

// Error returns one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the problems by position, each once, and whether one of them
// is more than a warning.
func (ps Problems) sorted() (all Problems, failed bool) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	ps = slices.Compact(ps)
	return ps, slices.ContainsFunc(ps, func(p Problem) bool { return !p.Warning })
}
