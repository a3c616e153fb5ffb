package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"

	"holdfast.internal/sinks"
)

// Known is what the program has compiled in.
type Known struct {
	// Sinks are the kinds of sinks by name.
	Sinks map[string]Kind
	// Processors are the transforms by name.
	Processors map[string]Transform
	// Topics are the data topics that have a schema, and the full names of
	// their records; nil compares nothing.
	Topics map[string]string
	// Field returns Avro's name for what a field of a topic's records is; "" if
	// there is none, and the paths that may have been meant. nil compares nothing.
	Field func(topic, path string) (name string, near []string)
}

// Transform says which records a processor reads and writes; a topic of
// another record is refused. Empty names are not compared.
type Transform struct {
	In, Out string // full record names
}

// Load reads a file. Its error is [Problems], all of them, if the file was
// read; else it says why it could not be.
func Load(path string, known Known) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		if reason, ok := errors.AsType[*os.PathError](err); ok {
			err = reason.Err
		}
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return Parse(path, text, known)
}

// Parse is [Load] of text that was read already; file is the name in messages,
// and what relative names start at.
func Parse(file string, text []byte, known Known) (*Config, error) {
	return parse(file, text).config(known)
}

func (d *document) config(known Known) (*Config, error) {
	schema, err := buildSchema(known.Sinks)
	if err != nil {
		return nil, err
	}
	if d.unread {
		return nil, d.problems
	}
	if err := d.hold(schema); err != nil {
		return nil, err
	}
	d.twins("", schema, d.root)
	cfg := d.build(known)
	(&validator{document: d, known: known}).config(cfg)
	problems, failed := d.problems.sorted()
	if failed {
		return nil, problems
	}
	cfg.File, cfg.Warnings, cfg.places = d.file, problems, d
	return cfg, nil
}

// build decodes the document over the defaults.
func (d *document) build(known Known) *Config {
	cfg := defaults()
	list, _ := d.root["sinks"].([]any)
	whole := object{}
	for key, v := range d.root {
		if key != "sinks" {
			whole[key] = v
		}
	}
	d.decode("", whole, &cfg)
	for i, values := range list {
		values, _ := values.(object)
		s := defaultSink()
		path := item("sinks", i)
		d.decode(path, only(values, keys(reflect.TypeFor[Sink]())), &s)
		s.fill()
		s.Section = Section{doc: d, path: path, values: values}
		d.kind(path, &s, known.Sinks)
		cfg.Sinks = append(cfg.Sinks, s)
	}
	d.relocate(&cfg)
	return &cfg
}

// kind lets the sink's own Config judge its keys, and say what depends on the kind.
func (d *document) kind(path string, s *Sink, kinds map[string]Kind) {
	k, ok := kinds[s.Kind]
	if !ok {
		return
	}
	own := k.Config()
	d.decode(path, only(s.Section.values, keys(reflect.TypeOf(own))), own)
	if v, ok := own.(interface{ Validate() error }); ok {
		d.wrap(path, v.Validate())
	}
	if s.Stale == "" && k.Stale != nil {
		s.Stale = k.Stale(own)
	}
	s.Stale = cmp.Or(s.Stale, StaleSend)
	if f, ok := own.(interface{ Fields() []sinks.Field }); ok {
		s.asks = f.Fields()
	}
}

// relocate makes relative names of PEM files start at the configuration file.
func (d *document) relocate(cfg *Config) {
	if t := cfg.Kafka.TLS; t != nil {
		for _, name := range []*string{&t.CAFile, &t.CertFile, &t.KeyFile} {
			if *name != "" {
				*name = d.resolve(*name)
			}
		}
	}
}
