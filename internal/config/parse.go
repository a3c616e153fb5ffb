package config

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on a file: aliases of aliases could stand for more than memory holds.
const (
	maxFile  = 1 << 20
	maxNodes = 100_000
	maxDepth = 100
)

// parse reads YAML into a document. Mistakes of the syntax end up in its problems.
//
// The parser is go.yaml.in/yaml and not goccy/go-yaml, which reads
// {brokers: [kafka:9092]} as a map from kafka to 9092.
func parse(file string, text []byte) *document {
	d := &document{file: file, root: map[string]any{}, marks: map[string]mark{}, lookup: os.LookupEnv}
	if len(text) > maxFile {
		d.stop(place{1, 1}, "must not be larger than 1 MiB")
		return d
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var tree, more yaml.Node
	if err := decoder.Decode(&tree); err != nil && len(strings.TrimSpace(string(text))) > 0 && err.Error() != "EOF" {
		d.syntax(err)
		return d
	}
	if err := decoder.Decode(&more); err == nil {
		d.stop(position(&more), "only one YAML document may stand in a file")
		return d
	}
	r := reader{d: d}
	value := r.read("", content(&tree), 0)
	if root, ok := value.(map[string]any); ok {
		d.root = root
	} else if value != nil {
		d.stop(position(&tree), "must be a map of settings")
	}
	return d
}

func content(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		return n.Content[0]
	}
	return n
}

// syntax takes the line out of a message such as
// "yaml: line 3: did not find expected ',' or ']'".
func (d *document) syntax(err error) {
	at, message := place{1, 1}, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(message); m != nil {
		line, _ := strconv.Atoi(m[1])
		at, message = place{line, 1}, m[2]
	}
	d.stop(at, message)
}

// stop notes a mistake after which nothing else can be said.
func (d *document) stop(at place, message string) {
	d.problemAt(at, "", false, message)
	d.unread = true
}

// reader turns nodes into plain values.
type reader struct {
	d     *document
	nodes int
}

func (r *reader) read(path string, n *yaml.Node, depth int) any {
	r.nodes++
	if r.nodes > maxNodes || depth > maxDepth {
		if r.nodes <= maxNodes+1 {
			r.d.fail(path, "has too many values, or too many levels")
		}
		return nil
	}
	m := r.d.marks[path]
	m.value = position(n)
	r.d.marks[path] = m
	switch n.Kind {
	case yaml.MappingNode:
		return r.mapping(path, n.Content, depth)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, v := range n.Content {
			list[i] = r.read(item(path, i), v, depth+1)
		}
		return list
	case yaml.AliasNode:
		return r.read(path, n.Alias, depth+1)
	case yaml.ScalarNode:
		return r.scalar(path, n)
	case yaml.DocumentNode:
	}
	return nil
}

func (r *reader) mapping(path string, content []*yaml.Node, depth int) any {
	m := make(map[string]any, len(content)/2)
	for i := 0; i+1 < len(content); i += 2 {
		key, value := content[i], content[i+1]
		at := child(path, key.Value)
		if problem := r.key(at, key); problem != "" {
			r.d.problemAt(position(key), path, false, problem)
			r.d.broken = append(r.d.broken, at)
			continue
		}
		r.d.marks[at] = mark{key: position(key)}
		if v := r.read(at, value, depth+1); v != nil { // null is as if the key were not there
			m[key.Value] = v
		}
	}
	return m
}

func (r *reader) key(at string, n *yaml.Node) string {
	_, twice := r.d.marks[at]
	switch {
	case n.Kind != yaml.ScalarNode:
		return "a key must be text"
	case n.Tag == "!!merge":
		return "merge keys (<<) are not supported"
	case twice:
		return fmt.Sprintf("the key %q is there twice", n.Value)
	}
	return ""
}

func (r *reader) scalar(path string, n *yaml.Node) any {
	m := r.d.marks[path]
	m.source = n.Value
	r.d.marks[path] = m
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		return number(n)
	case "!!str", "!!timestamp":
		return r.text(path, n.Value)
	}
	r.d.fail(path, "the tag %s is not supported", n.Tag)
	return nil
}

// number reads what is not text; a number that no setting can hold stays text.
func number(n *yaml.Node) any {
	var v any
	if err := n.Decode(&v); err != nil {
		return n.Value
	}
	switch v := v.(type) {
	case int, int64, bool:
		return v
	case float64:
		if v-v == 0 { // neither infinite nor NaN
			return v
		}
	}
	return n.Value
}

func (r *reader) text(path, text string) any {
	expanded, err := r.d.expand(text)
	if err != nil {
		r.d.fail(path, "%s", err.Error())
		return nil
	}
	if expanded != text {
		m := r.d.marks[path]
		m.text, m.expanded = expanded, true
		r.d.marks[path] = m
	}
	return expanded
}

func position(n *yaml.Node) place { return place{max(1, n.Line), max(1, n.Column)} }
