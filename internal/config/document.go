package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// document is a file as plain values (map[string]any, []any, string, bool,
// numbers), and where each of them stands. Paths are written as users read
// them: sinks[0].retry.tiers[1].
type document struct {
	file     string
	root     map[string]any
	marks    map[string]mark
	broken   []string // paths whose values are not known, as they could not be read; no rule is held against them
	unread   bool     // the file could not be read as a map of settings
	problems Problems
	lookup   func(name string) (string, bool) // of environment variables
}

// mark is where a value and its key stand, and what was written there.
type mark struct {
	key, value place
	source     string // of scalars, before references were expanded
	text       string // and after
	expanded   bool
}

type place struct{ line, column int }

func child(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// within reports whether path is parent or lies below it.
func within(path, parent string) bool {
	return path == parent || parent == "" || strings.HasPrefix(path, parent+".") || strings.HasPrefix(path, parent+"[")
}

// fail notes that the value at path cannot be read.
func (d *document) fail(path, format string, args ...any) {
	d.problemAt(d.where(path), path, false, fmt.Sprintf(format, args...))
	d.broken = append(d.broken, path)
}

// failKey notes a mistake of a key; path is that of its map.
func (d *document) failKey(path, key, message string) {
	at, ok := d.marks[child(path, key)]
	if !ok {
		at.key = d.where(path)
	}
	d.problemAt(at.key, path, false, message)
	d.broken = append(d.broken, child(path, key))
}

// failOnce is fail, unless the same or more was said already.
func (d *document) failOnce(path, format string, args ...any) {
	if !d.lost(path) {
		d.fail(path, format, args...)
	}
}

// check notes that the value at path breaks a rule. It keeps silent if that is
// not known: where the value could not be read, or something else that the rule
// asks about and needs names.
func (d *document) check(path string, needs []string, format string, args ...any) {
	if !d.lost(path) && !slices.ContainsFunc(needs, d.isBroken) {
		d.problemAt(d.where(path), path, false, fmt.Sprintf(format, args...))
	}
}

func (d *document) warn(path, format string, args ...any) {
	if !d.lost(path) {
		d.problemAt(d.where(path), path, true, fmt.Sprintf(format, args...))
	}
}

func (d *document) problemAt(at place, path string, warning bool, message string) {
	d.problems = append(d.problems, Problem{
		File: d.file, Line: at.line, Column: at.column, Path: path, Message: message, Warning: warning,
	})
}

// lost reports whether nothing is known of a path: it, or what is around it,
// could not be read.
func (d *document) lost(path string) bool {
	return slices.ContainsFunc(d.broken, func(b string) bool { return within(path, b) })
}

// isBroken reports whether a path is lost, or something that lies in it.
func (d *document) isBroken(path string) bool {
	return d.lost(path) || slices.ContainsFunc(d.broken, func(b string) bool { return within(b, path) })
}

// where returns the place of a value, or of the nearest one around it.
func (d *document) where(path string) place {
	for {
		if m, ok := d.marks[path]; ok {
			return m.value
		}
		if path == "" {
			return place{1, 1}
		}
		path = parent(path)
	}
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// shown returns a scalar as it was written, for messages; what a reference
// stands for is never shown.
func (d *document) shown(path string, value any) string {
	if m, ok := d.marks[path]; ok && m.expanded {
		return strconv.Quote(m.source)
	}
	if s, ok := value.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(value)
}

// conceal puts references back in the place of what they stand for, in a
// message that somebody else wrote.
func (d *document) conceal(message string) string {
	for _, m := range d.marks {
		if m.expanded && m.text != "" {
			message = strings.ReplaceAll(message, m.text, m.source)
		}
	}
	return message
}

// resolve makes a file name that stands in the document relative to it.
func (d *document) resolve(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(d.file), name)
}
