package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

const schemaURL = "holdfast.schema.json"

// hold compares the document with a schema and notes every difference, each
// at its place. What breaks a rule is taken out, so that decoding can go on.
func (d *document) hold(schema object) error {
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaURL, schema); err != nil {
		return fmt.Errorf("schema of the configuration: %w", err)
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return fmt.Errorf("schema of the configuration: %w", err)
	}
	d.guessKinds(schema)
	causes := leaves(compiled.Validate(d.root))
	if d.coerce(causes) {
		causes = leaves(compiled.Validate(d.root))
	}
	for _, cause := range causes {
		d.unknownKeys(cause, schema)
	}
	for _, cause := range causes {
		d.report(cause, schema)
	}
	for _, path := range d.broken {
		d.remove(path)
	}
	return nil
}

// leaves returns the errors that have no cause of their own.
func leaves(err error) []*jsonschema.ValidationError {
	var root *jsonschema.ValidationError
	if !errors.As(err, &root) {
		return nil
	}
	if len(root.Causes) == 0 {
		return []*jsonschema.ValidationError{root}
	}
	var all []*jsonschema.ValidationError
	for _, c := range root.Causes {
		all = append(all, leaves(c)...)
	}
	return all
}

// coerce gives what came from a reference the type that its place asks for: an
// environment variable is text, and may stand for a number all the same.
func (d *document) coerce(causes []*jsonschema.ValidationError) bool {
	changed := false
	for _, c := range causes {
		mismatch, ok := c.ErrorKind.(*kind.Type)
		path, value := d.at(c.InstanceLocation)
		text, isText := value.(string)
		if !ok || !isText || !d.marks[path].expanded {
			continue
		}
		if v, ok := as(mismatch.Want, text); ok {
			d.set(c.InstanceLocation, v)
			changed = true
		}
	}
	return changed
}

func as(types []string, text string) (any, bool) {
	for _, t := range types {
		switch t {
		case "integer":
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return n, true
			}
		case "boolean":
			if text == "true" || text == "false" {
				return text == "true", true
			}
		}
	}
	return nil, false
}

// at returns the path and the value of an instance location.
func (d *document) at(location []string) (string, any) {
	path, value := "", any(d.root)
	for _, step := range location {
		switch v := value.(type) {
		case object:
			path, value = child(path, step), v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return path, nil
			}
			path, value = item(path, i), v[i]
		}
	}
	return path, value
}

func (d *document) set(location []string, value any) {
	last := location[len(location)-1]
	switch _, around := d.at(location[:len(location)-1]); around := around.(type) {
	case object:
		around[last] = value
	case []any:
		if i, err := strconv.Atoi(last); err == nil && i < len(around) {
			around[i] = value
		}
	}
}

// remove takes out a value. An element of a list leaves its place empty, so
// that those after it keep theirs.
func (d *document) remove(path string) {
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case object:
			for key, e := range v {
				if p := child(at, key); p == path {
					delete(v, key)
				} else if within(path, p) {
					walk(p, e)
				}
			}
		case []any:
			for i, e := range v {
				if p := item(at, i); p == path {
					v[i] = nil
				} else if within(path, p) {
					walk(p, e)
				}
			}
		}
	}
	walk("", d.root)
}

// unknownKeys notes keys that may not stand where they are. What a misspelt one
// was meant to be counts as given, and is not missed.
func (d *document) unknownKeys(cause *jsonschema.ValidationError, schema object) {
	k, ok := cause.ErrorKind.(*kind.AdditionalProperties)
	if !ok {
		return
	}
	path, value := d.at(cause.InstanceLocation)
	around, _ := value.(object)
	for _, key := range k.Properties {
		message := fmt.Sprintf("additional properties '%s' not allowed", key)
		if meant, ok := near(key, d.allowed(cause.InstanceLocation, schema)); ok {
			message += didYouMean(meant)
			if _, both := around[meant]; !both {
				d.broken = append(d.broken, child(path, meant))
			}
		}
		d.failKey(path, key, message)
	}
}

func (d *document) report(cause *jsonschema.ValidationError, schema object) {
	path, value := d.at(cause.InstanceLocation)
	switch k := cause.ErrorKind.(type) {
	case *kind.AdditionalProperties: // [document.unknownKeys] said it
	case *kind.Required:
		for _, key := range k.Missing {
			if d.lost(child(path, key)) {
				continue
			}
			d.problemAt(d.where(path), path, false, key+" must be given")
			d.broken = append(d.broken, child(path, key))
		}
	case *kind.Enum:
		words := make([]string, len(k.Want))
		for i, w := range k.Want {
			words[i] = fmt.Sprint(w)
		}
		hint := ""
		if text, ok := value.(string); ok && !d.marks[path].expanded {
			hint = DidYouMean(text, words)
		}
		d.failOnce(path, "%s%s", notOneOf(d.shown(path, value), words), hint)
	case *kind.Type:
		d.failOnce(path, "%s", d.wrongType(path, value, k, d.schemaOf(cause.InstanceLocation, schema)))
	case *kind.Pattern:
		d.failOnce(path, "%s %s", d.shown(path, value), grammar(k.Want))
	case *kind.Minimum:
		d.failOnce(path, "%s must be at least %s", d.shown(path, value), k.Want.RatString())
	case *kind.Maximum:
		d.failOnce(path, "%s must be at most %s", d.shown(path, value), k.Want.RatString())
	case *kind.MinItems:
		d.failOnce(path, "must have at least %d", k.Want)
	case *kind.MaxItems:
		d.failOnce(path, "must have at most %d, not %d", k.Want, k.Got)
	default:
		d.failOnce(path, "%s", cause.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
	}
}

// wrongType names the value too where that is no secret: a setting that is
// neither free text nor a map of such.
func (d *document) wrongType(path string, value any, k *kind.Type, schema object) string {
	rule := "must be " + article(k.Want)
	examples, _ := schema["examples"].([]any)
	if len(examples) > 0 {
		rule += fmt.Sprintf(" such as %v", examples[0])
	}
	whole := slices.Contains(k.Want, "integer")
	if !whole || k.Got != "number" { // 1.5 is a number, and no whole one
		rule += ", not " + article([]string{k.Got})
	}
	scalar := k.Got != "object" && k.Got != "array"
	if scalar && (whole || len(examples) > 0 || slices.Contains(k.Want, "boolean")) {
		rule = d.shown(path, value) + " " + rule
	}
	return rule
}

// allowed lists the keys that may stand in an object of the document.
func (d *document) allowed(location []string, schema object) []string {
	properties, _ := d.schemaOf(location, schema)["properties"].(object)
	return slices.Sorted(maps.Keys(properties))
}

// schemaOf is what a schema says of a place in the document.
func (d *document) schemaOf(location []string, schema object) object {
	at := schema
	for i, step := range location {
		next := property(at, step)
		if next == nil {
			next = property(at, "")
		}
		if next == nil {
			next, _ = at["additionalProperties"].(object)
		}
		_, value := d.at(location[:i+1])
		at = withBranch(next, value)
	}
	return at
}

// withBranch adds to a sink's schema the keys of its kind; of any kind where
// that is not known.
func withBranch(schema object, value any) object {
	sink, _ := value.(object)
	branches, _ := schema["allOf"].([]any)
	for _, b := range branches {
		b, _ := b.(object)
		condition, _ := b["if"].(object)
		holds := b["then"]
		if wanted, ok := property(condition, "kind")["const"]; !ok {
			holds = b["else"] // the last
		} else if wanted != sink["kind"] {
			continue
		}
		chosen, _ := holds.(object)
		own, _ := chosen["properties"].(object)
		common, _ := schema["properties"].(object)
		merged := maps.Clone(own)
		maps.Copy(merged, common)
		return object{"properties": merged}
	}
	return schema
}

// guessKinds notes each misspelt kind and goes on with the one that was meant,
// so that it hides no other mistake of its sink.
func (d *document) guessKinds(schema object) {
	known, _ := property(property(property(schema, "sinks"), ""), "kind")["enum"].([]any)
	var names []string
	for _, k := range known {
		names = append(names, fmt.Sprint(k))
	}
	list, _ := d.root["sinks"].([]any)
	for i, s := range list {
		sink, _ := s.(object)
		path := child(item("sinks", i), "kind")
		written, ok := sink["kind"].(string)
		if !ok || slices.Contains(names, written) || d.marks[path].expanded {
			continue
		}
		if meant, ok := near(written, names); ok {
			d.problemAt(d.where(path), path, false, notOneOf(d.shown(path, written), names)+didYouMean(meant))
			sink["kind"] = meant
		}
	}
}

func notOneOf(shown string, words []string) string {
	return shown + " must be one of " + strings.Join(words, ", ")
}

func article(types []string) string {
	words := map[string]string{
		"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "a map", "array": "a list", "null": "nothing",
	}
	named := make([]string, len(types))
	for i, t := range types {
		named[i] = words[t]
	}
	return strings.Join(named, " or ")
}

// grammar says in words what a pattern asks for.
func grammar(pattern string) string {
	switch pattern {
	case durationPattern:
		return "is no duration such as 30s, 1m or 2h (a day is 24h)"
	case ratePattern:
		return errRate.Error()
	case prefixPattern:
		return errNetwork.Error()
	case tenantPattern:
		return "must be header:NAME or field:PATH"
	}
	return "must match " + pattern
}
