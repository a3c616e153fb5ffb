package config

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"holdfast.internal/internal/topics"
)

// What the structs' doc comments say, for schema and reference.
//
//go:generate sh -c "go run ./keydocs ../.. >keydocs.json.new && mv keydocs.json.new keydocs.json"
//go:embed keydocs.json
var keyDocs []byte

// comments returns them by full name: holdfast.internal/sinks/http.Config.URL.
func comments() (map[string]string, error) {
	var all map[string]string
	if err := json.Unmarshal(keyDocs, &all); err != nil {
		return nil, fmt.Errorf("keydocs.json: %w", err)
	}
	return all, nil
}

// setDefaults writes what a key is if a file leaves it out into the schema of
// its struct. Of a default that depends on other keys the comment tells.
func setDefaults(schema object, v reflect.Value) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	for field, value := range v.Fields() {
		p := property(schema, field.Tag.Get("yaml"))
		switch {
		case p == nil:
		case value.Kind() == reflect.Struct && p["properties"] != nil:
			setDefaults(p, value)
		case value.Kind() == reflect.Bool || !value.IsZero():
			if d, ok := written(value); ok {
				p["default"] = d
			}
		}
	}
}

// written returns a value as a file would have it; lists of structs have no default.
func written(v reflect.Value) (any, bool) {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), true
	case reflect.Int:
		return v.Int(), true
	case reflect.String:
		return v.String(), true
	case reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			e, ok := written(v.Index(i))
			if !ok {
				return nil, false
			}
			list = append(list, e)
		}
		return list, true
	default:
		if d, ok := reflect.TypeAssert[time.Duration](v); ok {
			return topics.Tier(d), true
		}
	}
	return nil, false
}

// sayDefaults adds each default to its description: most editors show that alone.
func sayDefaults(schema any) {
	switch s := schema.(type) {
	case object:
		if text, ok := s["description"].(string); ok && s["default"] != nil {
			s["description"] = text + " Default: " + inline(s["default"])
		}
		for _, v := range s {
			sayDefaults(v)
		}
	case []any:
		for _, v := range s {
			sayDefaults(v)
		}
	}
}

// inline writes a default as it could stand in a file.
func inline(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	words := make([]string, len(list))
	for i, e := range list {
		words[i] = inline(e)
	}
	return "[" + strings.Join(words, ", ") + "]"
}
