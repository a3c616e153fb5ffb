package schemas

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// Finding is one broken rule, at its place in a schema file.
type Finding struct {
	Path    string // schemas/crm.Invoice/v3.avsc
	Line    int    // 1 is the first; 0 of a folder
	Column  int
	Message string
}

// String returns path:line:col: message.
func (f Finding) String() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.Path, f.Line, f.Column, f.Message)
}

// Check compares every version of every topic's record with all before it, at
// the topic's level. It needs no registry. Paths of findings begin with prefix.
// A record without a readable version is a finding too and hides no other; the
// error is that of a folder which cannot be read at all.
func Check(fsys fs.FS, prefix string) ([]Finding, error) {
	if _, err := fs.Stat(fsys, "."); err != nil {
		return nil, fmt.Errorf("%s: %w", prefix, reason(err))
	}
	var findings []Finding
	for _, t := range Topics() {
		versions, err := Versions(fsys, t.Record)
		if err != nil {
			findings = append(findings, Finding{Path: prefix + t.Record, Message: fmt.Sprintf("topic %s needs a version: %s", t.Name, reason(err))})
			continue
		}
		for i := range versions {
			findings = append(findings, checkVersion(t, versions[:i], versions[i], prefix)...)
		}
	}
	return findings, nil
}

// reason is what a file system says, without the path that stands before it.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// checkVersion names every break of a version, each once: since the first
// version that it breaks with.
func checkVersion(t Topic, before []Version, v Version, prefix string) []Finding {
	at := placesOf(v.Text)
	schema, err := avro.Parse(v.Text)
	if err != nil {
		return []Finding{place(v, prefix, at.find(""), err.Error())}
	}
	if name := fullName(schema.Root()); name != t.Record {
		return []Finding{place(v, prefix, at.find(""), fmt.Sprintf("the record is called %s, its folder %s", name, t.Record))}
	}
	var findings []Finding
	told := map[string]bool{}
	for _, old := range before {
		for _, b := range compare(t.Level, old.Text, v.Text) {
			if told[b.Error()] {
				continue
			}
			told[b.Error()] = true
			path := ""
			if c, ok := errors.AsType[*avro.CompatibilityError](b); ok {
				path = c.Path
			}
			findings = append(findings, place(v, prefix, at.find(path), fmt.Sprintf("%s forbids this change since v%d: %s", t.Level, old.Number, b)))
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return findings
}

// CheckAgainst tells whether a new schema may follow an old one at a level. A
// level that this function does not know counts as FULL. The error names every
// reason against it, and wraps avro's CompatibilityError.
func CheckAgainst(level Level, oldText, newText string) error {
	return errors.Join(compare(level, oldText, newText)...)
}

// compare lists all that a level forbids of a change.
func compare(level Level, oldText, newText string) []error {
	older, err := avro.Parse(oldText)
	if err != nil {
		return []error{fmt.Errorf("old schema: %w", err)}
	}
	newer, err := avro.Parse(newText)
	if err != nil {
		return []error{fmt.Errorf("new schema: %w", err)}
	}
	name := strings.TrimSuffix(string(level), "_TRANSITIVE")
	if name == "NONE" {
		return nil
	}
	var all []error
	if name != "FORWARD" {
		for _, b := range breaks(older, newer) {
			all = append(all, fmt.Errorf("the new version cannot read the old one: %w", b))
		}
	}
	if name != "BACKWARD" {
		for _, b := range breaks(newer, older) {
			all = append(all, fmt.Errorf("the old version cannot read the new one: %w", b))
		}
	}
	return all
}

// place is a finding at an offset of a version's text.
func place(v Version, prefix string, offset int, message string) Finding {
	head := v.Text[:offset]
	return Finding{
		Path: prefix + v.Path, Line: 1 + strings.Count(head, "\n"), Column: offset - strings.LastIndexByte(head, '\n'), Message: message,
	}
}
