package config

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"holdfast.internal"
)

// decoder fills structs from YAML nodes by their yaml tags. Unlike a stock
// decoder it does not stop at the first mistake, and it knows where each lies.
type decoder struct {
	file     string
	problems []Problem
}

func (d *decoder) problem(n ast.Node, path, message string, args ...any) {
	p := Problem{File: d.file, Line: 1, Column: 1, Path: path, Message: fmt.Sprintf(message, args...)}
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		p.Line, p.Column = n.GetToken().Position.Line, n.GetToken().Position.Column
	}
	d.problems = append(d.problems, p)
}

// field is one key that a struct knows.
type field struct {
	value reflect.Value
	file  bool // key_file: the twin of a secret
}

// fieldsOf lists the keys of structs; the same key may stand in several.
func fieldsOf(structs ...reflect.Value) map[string][]field {
	known := map[string][]field{}
	for _, s := range structs {
		for i := range s.NumField() {
			tag := s.Type().Field(i).Tag.Get("yaml")
			name, _, _ := strings.Cut(tag, ",")
			if name == "" || name == "-" {
				continue
			}
			known[name] = append(known[name], field{value: s.Field(i)})
			if s.Field(i).Type() == reflect.TypeFor[holdfast.Secret]() {
				known[name+"_file"] = append(known[name+"_file"], field{value: s.Field(i), file: true})
			}
		}
	}
	return known
}

// pairs returns the entries of a mapping, nil with a problem for anything else.
func (d *decoder) pairs(n ast.Node, path string) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	case *ast.NullNode, nil:
		return nil
	default:
		d.problem(n, path, "must be a mapping")
		return nil
	}
}

// structs decodes one mapping into structs that share its keys.
func (d *decoder) structs(n ast.Node, path string, structs ...reflect.Value) {
	known := fieldsOf(structs...)
	seen := map[string]bool{}
	for _, pair := range d.pairs(n, path) {
		name := keyOf(pair)
		at := join(path, name)
		if seen[name] {
			d.problem(pair.Key, at, "is given twice")
			continue
		}
		seen[name] = true
		fields, ok := known[name]
		if !ok {
			d.unknown(pair, path, name, known)
			continue
		}
		for i, f := range fields {
			before := len(d.problems)
			if f.file {
				d.secretFile(pair.Value, at, f.value)
			} else {
				d.value(pair.Value, at, f.value)
			}
			if i > 0 { // the same key in a second struct breaks the same rules: told once
				d.problems = d.problems[:before]
			}
		}
	}
}

func (d *decoder) unknown(pair *ast.MappingValueNode, path, name string, known map[string][]field) {
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	hint := ""
	if near := closest(name, names); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	where := path
	if where == "" {
		where = "the file"
	}
	d.problem(pair.Key, path, "unknown key %q%s; %s takes %s", name, hint, where, strings.Join(names, ", "))
}

func keyOf(pair *ast.MappingValueNode) string {
	return strings.Trim(pair.Key.String(), `"' `)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (d *decoder) value(n ast.Node, path string, v reflect.Value) {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		n = anchor.Value
	}
	if v.CanAddr() {
		if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			if text, ok := d.text(n, path); ok {
				if err := u.UnmarshalText([]byte(text)); err != nil {
					d.problem(n, path, "%q: %s", text, err)
				}
			}
			return
		}
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d.duration(n, path, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, path, v.Elem())
	case reflect.Struct:
		d.structs(n, path, v)
	case reflect.Slice:
		d.slice(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v)
	case reflect.String:
		if text, ok := d.text(n, path); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		text, ok := d.text(n, path)
		b, err := strconv.ParseBool(text)
		if ok && err != nil {
			d.problem(n, path, "%q must be true or false", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64, reflect.Int32:
		text, ok := d.text(n, path)
		i, err := strconv.ParseInt(text, 10, 32)
		if ok && (err != nil || i < 0) {
			d.problem(n, path, "%q must be a whole number of at least 0", text)
		}
		v.SetInt(i)
	default:
		d.problem(n, path, "cannot be configured")
	}
}

func (d *decoder) slice(n ast.Node, path string, v reflect.Value) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		if _, null := n.(*ast.NullNode); !null {
			d.problem(n, path, "must be a list")
		}
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, item := range list.Values {
		d.value(item, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

func (d *decoder) mapping(n ast.Node, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, pair := range d.pairs(n, path) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(pair.Value, join(path, keyOf(pair)), item)
		v.SetMapIndex(reflect.ValueOf(keyOf(pair)), item)
	}
}

func (d *decoder) duration(n ast.Node, path string, v reflect.Value) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	duration, err := time.ParseDuration(text)
	if err != nil || duration < 0 {
		d.problem(n, path, "%q must be a duration such as 30s or 5m", text)
		return
	}
	v.SetInt(int64(duration))
}

// reference is ${env:NAME} or ${file:/path}. References are expanded after
// parsing, so that a secret with a colon cannot change the structure.
var reference = regexp.MustCompile(`\$\{(env|file):([^}]+)\}`)

// text returns a scalar with its references expanded.
func (d *decoder) text(n ast.Node, path string) (string, bool) {
	scalar, ok := n.(ast.ScalarNode)
	if !ok {
		d.problem(n, path, "must be a single value")
		return "", false
	}
	raw := scalar.GetToken().Value
	if s, isText := n.(*ast.StringNode); isText {
		raw = s.Value
	}
	if l, isBlock := n.(*ast.LiteralNode); isBlock {
		raw = l.Value.Value
	}
	good := true
	expanded := reference.ReplaceAllStringFunc(raw, func(ref string) string {
		parts := reference.FindStringSubmatch(ref)
		if parts[1] == "env" {
			value, set := os.LookupEnv(parts[2])
			if !set {
				d.problem(n, path, "environment variable %s is not set", parts[2])
				good = false
			}
			return value
		}
		value, fine := d.readFile(n, path, parts[2])
		good = good && fine
		return value
	})
	return expanded, good
}

func (d *decoder) secretFile(n ast.Node, path string, v reflect.Value) {
	name, ok := d.text(n, path)
	if !ok {
		return
	}
	if text, ok := d.readFile(n, path, name); ok {
		v.SetString(text)
	}
}

func (d *decoder) readFile(n ast.Node, path, name string) (string, bool) {
	b, err := os.ReadFile(name) //nolint:gosec // the operator names the file
	if err != nil {
		d.problem(n, path, "file %s: %s", name, strings.TrimPrefix(err.Error(), "open "+name+": "))
		return "", false
	}
	return strings.TrimRight(string(b), "\r\n"), true
}
