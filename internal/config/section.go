package config

import (
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Section is a part of the file that a kind's own Config describes. It keeps
// the place of every key.
type Section struct {
	doc    *document
	path   string
	values object
}

// Format writes a placeholder: a section holds secrets.
func (s Section) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "["+s.path+"]") }

// Decode writes the section over into, a pointer to a kind's Config, and
// returns [Problems] if a value does not fit. Keys that the kind does not know
// are the common ones; [Load] has refused all others.
func (s Section) Decode(into any) error {
	return s.noting(func(d *document) {
		d.decode(s.path, only(s.values, keys(reflect.TypeOf(into))), into)
	})
}

// Wrap gives the errors of a Validate their places. nil stays nil.
func (s Section) Wrap(err error) error {
	return s.noting(func(d *document) { d.wrap(s.path, err) })
}

func (s Section) noting(work func(*document)) error {
	d := &document{marks: map[string]mark{}}
	if s.doc != nil {
		copied := *s.doc
		d = &copied
	}
	d.problems, d.broken = nil, nil
	work(d)
	if problems, failed := d.problems.sorted(); failed {
		return problems
	}
	return nil
}

// wrap notes each joined error at the key that it begins with, unless one that
// it asks about could not be read; see [Kind].
func (d *document) wrap(path string, err error) {
	rule := regexp.MustCompile(`^([a-z0-9_]+(?:[.\[][^:(]*?)?)(?: \(([a-z0-9_., ]+)\))?: (.*)$`)
	for _, e := range flatten(err) {
		at, message := path, e.Error()
		var needs []string
		if m := rule.FindStringSubmatch(message); m != nil {
			at, message = child(path, m[1]), m[3]
			for need := range strings.SplitSeq(m[2], ", ") {
				if need != "" {
					needs = append(needs, child(path, need))
				}
			}
		}
		d.check(at, needs, "%s", d.conceal(message))
	}
}

// has reports whether a kind's Config has a key of its own by this name.
func (k Kind) has(key string) bool {
	return slices.Contains(keys(reflect.TypeOf(k.Config())), key)
}
