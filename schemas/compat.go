package schemas

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/twmb/avro"
)

// Finding is one broken rule, at its place in a schema file.
type Finding struct {
	Path    string // schemas/crm.Invoice/v3.avsc
	Line    int    // 1 is the first
	Column  int
	Message string
}

// String returns path:line:col: message.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.Path, f.Line, f.Column, f.Message)
}

// Check compares every version of every topic's record with all before it, at
// the topic's level. It needs no registry. Paths of findings begin with prefix.
func Check(fsys fs.FS, prefix string) ([]Finding, error) {
	var findings []Finding
	for _, t := range Topics() {
		versions, err := Versions(fsys, t.Record)
		if err != nil {
			return nil, err
		}
		for i := range versions {
			findings = append(findings, checkVersion(t, versions[:i], versions[i], prefix)...)
		}
	}
	return findings, nil
}

func checkVersion(t Topic, before []Version, v Version, prefix string) []Finding {
	schema, err := avro.Parse(v.Text)
	if err != nil {
		return []Finding{place(v, prefix, "", err.Error())}
	}
	if name := fullName(schema.Root()); name != t.Record {
		return []Finding{place(v, prefix, "", fmt.Sprintf("the record is called %s, its folder %s", name, t.Record))}
	}
	for _, old := range before {
		if err := CheckAgainst(t.Level, old.Text, v.Text); err != nil {
			field := ""
			if c, ok := errors.AsType[*avro.CompatibilityError](err); ok {
				field = c.Path[strings.LastIndexByte(c.Path, '.')+1:]
			}
			return []Finding{place(v, prefix, field, fmt.Sprintf("%s forbids this change since v%d: %s", t.Level, old.Number, err))}
		}
	}
	return nil
}

// CheckAgainst tells whether a new schema may follow an old one at a level. A
// level that this function does not know counts as FULL. The error wraps
// avro's CompatibilityError.
func CheckAgainst(level Level, oldText, newText string) error {
	older, err := avro.Parse(oldText)
	if err != nil {
		return fmt.Errorf("old schema: %w", err)
	}
	newer, err := avro.Parse(newText)
	if err != nil {
		return fmt.Errorf("new schema: %w", err)
	}
	name := strings.TrimSuffix(string(level), "_TRANSITIVE")
	if name == "NONE" {
		return nil
	}
	if name != "FORWARD" {
		if err := avro.CheckCompatibility(older, newer); err != nil {
			return fmt.Errorf("the new version cannot read the old one: %w", err)
		}
	}
	if name != "BACKWARD" {
		if err := avro.CheckCompatibility(newer, older); err != nil {
			return fmt.Errorf("the old version cannot read the new one: %w", err)
		}
	}
	return nil
}

// place finds the line on which a field is declared; the first line where the
// field is gone from the file.
func place(v Version, prefix, field, message string) Finding {
	f := Finding{Path: prefix + v.Path, Line: 1, Column: 1, Message: message}
	if field == "" {
		return f
	}
	at := regexp.MustCompile(`"name"\s*:\s*"` + regexp.QuoteMeta(field) + `"`).FindStringIndex(v.Text)
	if at == nil {
		return f
	}
	head := v.Text[:at[0]]
	f.Line = 1 + strings.Count(head, "\n")
	f.Column = at[0] - strings.LastIndexByte(head, '\n')
	return f
}
