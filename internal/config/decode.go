package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
)

// twins puts the contents of x_file in the place of x, wherever a schema has a
// secret called x.
func (d *document) twins(path string, schema object, value any) {
	switch value := value.(type) {
	case []any:
		for i, e := range value {
			d.twins(item(path, i), withBranch(property(schema, ""), e), e)
		}
	case object:
		schema = withBranch(schema, value)
		properties, _ := schema["properties"].(object)
		for key := range properties {
			p, _ := properties[key].(object)
			if p["writeOnly"] == true {
				d.twin(path, key, value)
			} else if v, ok := value[key]; ok {
				d.twins(child(path, key), p, v)
			}
		}
	}
}

func (d *document) twin(path, key string, values object) {
	name, ok := values[key+"_file"].(string)
	if !ok {
		return
	}
	delete(values, key+"_file")
	at := child(path, key+"_file")
	if _, both := values[key]; both {
		d.failKey(path, key+"_file", "only one of "+key+" and "+key+"_file may be given")
		return
	}
	text, err := d.readFile(name)
	if err != nil {
		d.fail(at, "%s", err.Error())
		d.broken = append(d.broken, child(path, key))
		return
	}
	values[key] = text
	m := d.marks[at]
	m.source, m.text, m.expanded = name, text, true
	d.marks[child(path, key)] = m
}

// decode writes plain values over what into holds. Every key must have its
// place, and every mistake is noted under path.
func (d *document) decode(path string, values any, into any) {
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:      into,
		TagName:     "yaml",
		ErrorUnused: true,
		MatchName:   func(key, field string) bool { return key == field },
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(),
			mapstructure.DecodeHookFuncType(network),
			mapstructure.TextUnmarshallerHookFunc(),
		),
	})
	if err == nil {
		err = decoder.Decode(values)
	}
	for _, e := range flatten(err) {
		at := path
		if where, ok := errors.AsType[*mapstructure.DecodeError](e); ok {
			if name := where.Name(); strings.HasPrefix(name, "[") {
				at += name
			} else if name != "" {
				at = child(path, name)
			}
			e = where.Unwrap()
		}
		d.failOnce(at, "%s", d.conceal(message1(e)))
	}
}

var errNetwork = errors.New("is no network such as 127.0.0.0/8, fd00::/8, or 10.1.2.3/32 for one address")

// network reads a prefix, with a better error than netip's.
func network(_, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if !ok || to != reflect.TypeFor[netip.Prefix]() {
		return value, nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, fmt.Errorf("%q %w", text, errNetwork)
	}
	return p, nil
}

// message1 keeps a message on one line and without the value: what a scalar
// stands for may be a secret.
func message1(err error) string {
	if parse, ok := errors.AsType[*mapstructure.ParseError](err); ok {
		return "cannot be read as " + parse.Expected.Type().String()
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	var joined interface{ Unwrap() []error }
	if err == nil {
		return nil
	}
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// keys returns what may stand at the top of a struct, by its yaml tags.
func keys(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var names []string
	for field := range t.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// only returns the values of a map that a struct has a place for.
func only(values object, names []string) object {
	out := object{}
	for key, v := range values {
		if slices.Contains(names, key) {
			out[key] = v
		}
	}
	return out
}
