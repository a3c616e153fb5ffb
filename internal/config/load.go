package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"holdfast.internal/schemas"
)

// Kinds makes, by the name of a kind, an empty value of its options.
type Kinds map[string]func() Options

// Load reads and checks a file. The error is an [*InvalidError] with every
// problem, or says that the file cannot be read.
func Load(path string, kinds Kinds) (*Config, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	return Parse(path, text, kinds)
}

// Parse is [Load] of text that was read from path.
func Parse(path string, text []byte, kinds Kinds) (*Config, error) {
	d := &decoder{file: path}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, &InvalidError{[]Problem{syntaxProblem(path, err)}}
	}
	var root ast.Node
	if len(file.Docs) > 0 {
		root = file.Docs[0].Body
	}
	c := &Config{}
	l := loader{decoder: d, kinds: kinds}
	l.file(root, c)
	if len(d.problems) > 0 {
		invalid := &InvalidError{d.problems}
		invalid.sort()
		return nil, invalid
	}
	return c, nil
}

var position = regexp.MustCompile(`^\[(\d+):(\d+)\] ([^\n]*)`)

func syntaxProblem(path string, err error) Problem {
	p := Problem{File: path, Line: 1, Column: 1, Message: "not YAML"}
	if m := position.FindStringSubmatch(err.Error()); m != nil {
		_, _ = fmt.Sscan(m[1], &p.Line)
		_, _ = fmt.Sscan(m[2], &p.Column)
		p.Message = "not YAML: " + m[3]
	}
	return p
}

type loader struct {
	*decoder
	kinds Kinds
	nodes map[string]ast.Node // by path, for rules that span keys
}

func (l *loader) file(root ast.Node, c *Config) {
	l.structs(root, "", reflect.ValueOf(c).Elem())
	l.nodes = map[string]ast.Node{"": root}
	if root != nil {
		l.index(root, "")
	}
	l.sinkOptions(c)
	l.rules(c)
}

// index notes the node of every path.
func (l *loader) index(n ast.Node, path string) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, pair := range n.Values {
			l.index(pair, path)
		}
	case *ast.MappingValueNode:
		at := join(path, keyOf(n))
		l.nodes[at] = n.Value
		if _, leaf := n.Value.(ast.ScalarNode); !leaf {
			l.nodes[at] = n.Key
		}
		l.index(n.Value, at)
	case *ast.SequenceNode:
		for i, item := range n.Values {
			at := fmt.Sprintf("%s[%d]", path, i)
			l.nodes[at] = item
			l.index(item, at)
		}
	}
}

// at reports a problem at the nearest place that the file has of a path.
func (l *loader) at(path, message string, args ...any) {
	for p := path; ; p = p[:strings.LastIndexAny(p, ".[")] {
		if n, ok := l.nodes[p]; ok {
			l.problem(n, path, message, args...)
			return
		}
		if !strings.ContainsAny(p, ".[") {
			l.problem(l.nodes[""], path, message, args...)
			return
		}
	}
}

// sinkOptions decodes each sink again, together with what its kind knows.
func (l *loader) sinkOptions(c *Config) {
	// The first pass does not know the kinds' keys: what it said of the sinks' own level is void.
	l.problems = slices.DeleteFunc(l.problems, func(p Problem) bool {
		return sinkLevel.MatchString(p.Path) && strings.HasPrefix(p.Message, "unknown key")
	})
	for i := range c.Sinks {
		s := &c.Sinks[i]
		path := fmt.Sprintf("sinks[%d]", i)
		empty, ok := l.kinds[s.Kind]
		if !ok {
			names := l.kindNames()
			l.at(join(path, "kind"), "%q must be one of %s", s.Kind, strings.Join(names, ", "))
			continue
		}
		options := empty()
		own := &decoder{file: l.decoder.file}
		var scratch Sink
		own.structs(l.nodes[path], path, reflect.ValueOf(&scratch).Elem(), reflect.ValueOf(options).Elem())
		for _, p := range own.problems {
			if !slices.Contains(l.problems, p) {
				l.problems = append(l.problems, p)
			}
		}
		s.Options = options
		if len(own.problems) == 0 {
			l.optionErrors(path, options.Validate())
		}
	}
}

var sinkLevel = regexp.MustCompile(`^sinks\[\d+\]$`)

func (l *loader) kindNames() []string {
	names := make([]string, 0, len(l.kinds))
	for k := range l.kinds {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// optionErrors reports what a kind's Validate found: errors of the form
// "key: value rule", joined.
func (l *loader) optionErrors(path string, err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		key, rule, ok := strings.Cut(line, ": ")
		if !ok {
			l.at(path, "%s", line)
			continue
		}
		l.at(join(path, key), "%s", rule)
	}
}

var (
	nameRule  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	topicRule = regexp.MustCompile(`^[a-zA-Z0-9.-]{1,200}$`)
)

// rules checks what spans keys, and sets defaults.
func (l *loader) rules(c *Config) {
	if c.Version != 1 {
		l.at("version", "must be 1")
	}
	if len(c.Kafka.Brokers) == 0 {
		l.at("kafka.brokers", "must name at least one host:port")
	}
	if c.SchemaRegistry.URL == "" {
		l.at("schema_registry.url", "must be given")
	}
	names := map[string]string{}
	for i, p := range c.Processors {
		path := fmt.Sprintf("processors[%d]", i)
		l.name(names, path, p.Name)
		l.topic(path+".in", p.In)
		l.topic(path+".out", p.Out)
		l.compiledIn(path+".in", p.In)
		l.compiledIn(path+".out", p.Out)
	}
	for i := range c.Sinks {
		path := fmt.Sprintf("sinks[%d]", i)
		l.name(names, path, c.Sinks[i].Name)
		l.topic(path+".in", c.Sinks[i].In)
		c.Sinks[i].defaults()
		l.sink(path, &c.Sinks[i])
	}
	if c.Outbox != nil && c.Outbox.DSN == "" {
		l.at("outbox.dsn", "must be given")
	}
}

func (l *loader) name(names map[string]string, path, name string) {
	at := path + ".name"
	if !nameRule.MatchString(name) || len(name) > 100 {
		l.at(at, "%q must be of a-z, 0-9 and dashes", name)
	}
	if first, taken := names[name]; taken {
		l.at(at, "%q is the name of %s too; both would share dlq.%s", name, first, name)
	}
	names[name] = path
}

func (l *loader) topic(path, name string) {
	if !topicRule.MatchString(name) {
		l.at(path, "%q must be a topic: letters, digits, dots and dashes", name)
	}
}

// compiledIn checks the topics of processors, whose types are compiled.
func (l *loader) compiledIn(path, topic string) {
	if _, ok := schemas.TopicNamed(topic); ok || topic == "" {
		return
	}
	var known []string
	for _, t := range schemas.Topics() {
		known = append(known, t.Name)
	}
	hint := ""
	if near := closest(topic, known); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	l.at(path, "%q has no schema%s; there are %s", topic, hint, strings.Join(known, ", "))
}

func (l *loader) sink(path string, s *Sink) {
	l.oneOf(path+".ordering", s.Ordering, "key", "none")
	l.oneOf(path+".on_tombstone", s.OnTombstone, "dead_letter", "skip", "delete")
	l.oneOf(path+".start", s.Start, "earliest", "latest")
	for i, tier := range s.Retry.Tiers {
		at := fmt.Sprintf("%s.retry.tiers[%d]", path, i)
		if tier <= 0 {
			l.at(at, "must be above 0")
		}
		if i > 0 && tier <= s.Retry.Tiers[i-1] {
			l.at(at, "%s must be above the tier before it, %s", tier, s.Retry.Tiers[i-1])
		}
	}
}

func (l *loader) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		l.at(path, "%q must be one of %s", value, strings.Join(allowed, ", "))
	}
}

// IsInvalid reports whether err lists problems of a file.
func IsInvalid(err error) (*InvalidError, bool) {
	var invalid *InvalidError
	ok := errors.As(err, &invalid)
	return invalid, ok
}
