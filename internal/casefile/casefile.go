// Package casefile runs *.case.yaml: what a processor makes of one record, as
// data that an engineer can read and write without Go. Values go through the
// real codec in both directions, so a case proves the schemas too.
package casefile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"

	"holdfast.internal"
	"holdfast.internal/processors"
	"holdfast.internal/schemas"
)

// Case is one record and what a processor is to make of it: nothing, records,
// or an error.
type Case struct {
	Name  string
	Given Given
	// Expect lists the records in order; empty for a record that is passed over.
	Expect      []Record
	ExpectError *Error
}

// Given is the input record. Value is plain JSON, spelt in YAML.
type Given struct {
	Topic   string            `yaml:"topic"`
	Key     string            `yaml:"key"`
	Value   any               `yaml:"value"`
	Headers map[string]string `yaml:"headers"`
	// Version is the schema version that the producer wrote with; 0: the newest.
	Version int `yaml:"version"`
}

// Record is one output. Its value is compared whole; fields that are left out
// are expected to have their schema's defaults.
type Record struct {
	Topic string `yaml:"topic"`
	Key   string `yaml:"key"`
	Value any    `yaml:"value"`
}

// Error is the failure of a refused record. What is empty is not compared;
// Message is a part of the error's text.
type Error struct {
	Class   string `yaml:"class"`
	Code    string `yaml:"code"`
	Message string `yaml:"message"`
}

// Errors of case files.
var (
	ErrNoCases = errors.New("no *.case.yaml")
	ErrCase    = errors.New("needs a name, given.topic, given.value, and one of expect and expect_error")
)

// Load reads every *.case.yaml of a folder, in order of their names. A misspelt
// key is an error that names file, line and column.
func Load(folder fs.FS) ([]Case, error) {
	names, err := fs.Glob(folder, "*.case.yaml")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, ErrNoCases
	}
	var all []Case
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, err
		}
		cases, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, cases...)
	}
	return all, nil
}

// written is a case as it is written: expect is a record or a list of them.
type written struct {
	Name        string  `yaml:"name"`
	Given       Given   `yaml:"given"`
	Expect      *expect `yaml:"expect"`
	ExpectError *Error  `yaml:"expect_error"`
}

type expect struct{ records []Record }

// UnmarshalYAML takes one record or a list.
func (e *expect) UnmarshalYAML(unmarshal func(any) error) error {
	var list []any
	if unmarshal(&list) == nil {
		return unmarshal(&e.records)
	}
	var one Record
	if err := unmarshal(&one); err != nil {
		return err
	}
	e.records = []Record{one}
	return nil
}

func parse(text []byte) ([]Case, error) {
	var raw []written
	if err := yaml.UnmarshalWithOptions(text, &raw, yaml.Strict()); err != nil {
		return nil, err
	}
	cases := make([]Case, len(raw))
	for i, w := range raw {
		if w.Name == "" || w.Given.Topic == "" || w.Given.Value == nil || (w.Expect == nil) == (w.ExpectError == nil) {
			return nil, fmt.Errorf("case %d %q: %w", i+1, w.Name, ErrCase)
		}
		cases[i] = Case{Name: w.Name, Given: w.Given, ExpectError: w.ExpectError}
		if w.Expect != nil {
			cases[i].Expect = w.Expect.records
		}
	}
	return cases, nil
}

// Check runs the case and returns every difference, one a line; none if the
// processor does as expected. The error is about the case itself: a value that
// does not fit its schema, a topic without one.
func (c Case) Check(ctx context.Context, p processors.Processor) ([]string, error) {
	ev, err := c.Given.event()
	if err != nil {
		return nil, fmt.Errorf("given: %w", err)
	}
	outputs, err := p.Process(ctx, ev)
	if c.ExpectError != nil {
		return c.ExpectError.diff(err, len(outputs)), nil
	}
	if err != nil {
		_, f := holdfast.Judge(err)
		return []string{fmt.Sprintf("refused, class %s, code %s: %v", f.Class, f.Code, err)}, nil
	}
	return c.diff(outputs)
}

// event writes the value as a producer would, and reads it as the runtime does.
func (g Given) event() (holdfast.Event, error) {
	version, err := g.version()
	if err != nil {
		return holdfast.Event{}, err
	}
	value, err := value(version, g.Value)
	if err != nil {
		return holdfast.Event{}, err
	}
	ev := holdfast.Event{ID: "case", Origin: holdfast.Coordinates{Topic: g.Topic}, Key: []byte(g.Key), Value: value}
	for _, name := range slices.Sorted(maps.Keys(g.Headers)) {
		ev.Headers = append(ev.Headers, holdfast.Header{Name: name, Value: []byte(g.Headers[name])})
	}
	if id := ev.Header("ce_id"); id != "" {
		ev.ID = id
	}
	return ev, nil
}

func (g Given) version() (schemas.Version, error) {
	record, err := recordOf(g.Topic)
	if err != nil {
		return schemas.Version{}, err
	}
	if g.Version == 0 {
		return schemas.Latest(record)
	}
	versions, err := schemas.Versions(schemas.Files(), record)
	if err != nil {
		return schemas.Version{}, err
	}
	for _, v := range versions {
		if v.Number == g.Version {
			return v, nil
		}
	}
	return schemas.Version{}, fmt.Errorf("%s has no version %d", record, g.Version)
}

func recordOf(topic string) (string, error) {
	t, ok := schemas.TopicNamed(topic)
	if !ok {
		return "", fmt.Errorf("no schema is compiled in for topic %q", topic)
	}
	return t.Record, nil
}

// value encodes YAML's value with a schema version and binds it for reading.
func value(v schemas.Version, from any) (holdfast.Value, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	body, err := schemas.EncodeJSON(v, text)
	if err != nil {
		return nil, err
	}
	reader, err := schemas.NewReader(v.Text)
	if err != nil {
		return nil, err
	}
	return reader.Value(body), nil
}
