package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/invopop/jsonschema"

	"holdfast.internal"
)

// Kind is one kind of sink that a file may name.
type Kind struct {
	// Config returns a pointer to a new Config of the kind. SetDefaults(), where it
	// has that, sets what the schema shows as defaults. Its keys are those of its yaml tags; it may have Validate() error, whose
	// errors begin with the key they are about: "auth.api_key: must be given". Other
	// keys that a rule asks about follow in brackets: "version (key): must not be one
	// of key"; it is not held against values that could not be read.
	// It may have Endpoints() []string, the names that limits.endpoints may hold,
	// HearsDaily() bool, whether limits.daily means anything to it, and Fields()
	// []sinks.Field, the fields that its records must have.
	Config func() any
	// Stale is the default of stale, send or skip, by the kind's Config; nil is send.
	Stale func(config any) string
}

// Patterns of scalars that have a grammar. They let references through, for
// editors; after expansion none is left.
const (
	durationPattern = `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+|.*\$\{.*)$`
	ratePattern     = `^([0-9]+(\.[0-9]+)?/(s|m|h)|.*\$\{.*)$`
	prefixPattern   = `^([0-9a-fA-F.:]+/[0-9]{1,3}|.*\$\{.*)$`
	tenantPattern   = `^(header|field):.+$` // as the tag of Sink.Tenant has it
)

type object = map[string]any

// Schema returns the JSON Schema of a file that may name these kinds.
func Schema(kinds map[string]Kind) ([]byte, error) {
	schema, err := buildSchema(kinds)
	if err != nil {
		return nil, err
	}
	sayDefaults(schema)
	text, err := json.MarshalIndent(schema, "", "  ")
	return append(text, '\n'), err
}

// buildSchema reflects the structs, adds each kind's keys to the sinks that
// name it, and a _file twin to every secret.
func buildSchema(kinds map[string]Kind) (object, error) {
	docs, err := comments()
	if err != nil {
		return nil, err
	}
	cfg, one := defaults(), defaultSink()
	root, err := reflected(cfg, docs)
	if err != nil {
		return nil, err
	}
	root["title"] = "holdfast configuration"
	sink := property(property(root, "sinks"), "")
	one.Retry.Tiers, one.Limits.Daily.Reserve = defaultTiers(), defaultReserve // as [Sink.fill] has it
	setDefaults(root, reflect.ValueOf(cfg))
	setDefaults(sink, reflect.ValueOf(one))
	common, _ := sink["properties"].(object)
	property(sink, "kind")["enum"] = anys(slices.Sorted(maps.Keys(kinds)))
	delete(sink, "additionalProperties")
	var branches []any
	of := object{} // any kind
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		own, err := kinds[name].schema(docs)
		if err != nil {
			return nil, err
		}
		b := branch(name, common, own)
		branches = append(branches, b)
		maps.Copy(of, allowing(b["then"]))
	}
	if branches != nil {
		sink["allOf"] = append(branches, noBranch(common["kind"], of))
	}
	addTwins(root)
	return root, nil
}

// schema is that of the keys which the kind has for itself.
func (k Kind) schema(docs map[string]string) (object, error) {
	cfg := k.Config()
	if c, ok := cfg.(interface{ SetDefaults() }); ok {
		c.SetDefaults()
	}
	own, err := reflected(cfg, docs)
	if err == nil {
		setDefaults(own, reflect.ValueOf(cfg))
	}
	return own, err
}

// branch holds for sinks of one kind: its keys and the common ones, and no other.
func branch(kind string, common, own object) object {
	properties, _ := own["properties"].(object)
	merged := object{}
	maps.Copy(merged, properties)
	for key := range common {
		merged[key] = true
	}
	return object{
		"if":   object{"properties": object{"kind": object{"const": kind}}, "required": []any{"kind"}},
		"then": object{"properties": merged, "additionalProperties": false},
	}
}

// noBranch holds for sinks of no kind that is known: a key that no kind has is
// a mistake all the same.
func noBranch(kinds any, keys object) object {
	return object{
		"if":   object{"properties": object{"kind": kinds}, "required": []any{"kind"}},
		"else": object{"properties": keys, "additionalProperties": false},
	}
}

// allowing returns the keys of a schema, with any value.
func allowing(schema any) object {
	s, _ := schema.(object)
	properties, _ := s["properties"].(object)
	keys := object{}
	for key := range properties {
		keys[key] = true
	}
	return keys
}

// property steps into a schema: by a key of its properties, or "" for its items.
func property(schema object, key string) object {
	if key == "" {
		items, _ := schema["items"].(object)
		return items
	}
	properties, _ := schema["properties"].(object)
	p, _ := properties[key].(object)
	return p
}

// addTwins gives every secret x a sibling x_file.
func addTwins(schema object) {
	for key, value := range schema {
		switch v := value.(type) {
		case object:
			if key == "properties" {
				addSiblings(v)
			}
			addTwins(v)
		case []any:
			for _, e := range v {
				if o, ok := e.(object); ok {
					addTwins(o)
				}
			}
		}
	}
}

func addSiblings(properties object) {
	for _, name := range slices.Collect(maps.Keys(properties)) {
		if p, ok := properties[name].(object); ok && p["writeOnly"] == true {
			properties[name+"_file"] = object{"type": "string", "description": name + "_file is a file that holds " + name + ", and stands in its place."}
		}
	}
}

// reflected returns a struct's schema as plain values, with what its comments say.
func reflected(v any, docs map[string]string) (object, error) {
	r := jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		ExpandedStruct:             true,
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		Mapper:                     scalar,
		CommentMap:                 docs,
	}
	text, err := json.Marshal(r.Reflect(v))
	if err != nil {
		return nil, fmt.Errorf("schema of %T: %w", v, err)
	}
	var plain object
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, fmt.Errorf("schema of %T: %w", v, err)
	}
	return plain, nil
}

// scalar maps types that are written as text.
func scalar(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[holdfast.Secret]():
		return &jsonschema.Schema{Type: "string", WriteOnly: true}
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern, Examples: []any{"30s", "1m", "24h"}}
	case reflect.TypeFor[Rate]():
		return &jsonschema.Schema{Type: "string", Pattern: ratePattern, Examples: []any{"25/s", "100/m"}}
	case reflect.TypeFor[netip.Prefix]():
		return &jsonschema.Schema{Type: "string", Pattern: prefixPattern, Examples: []any{"127.0.0.0/8"}}
	}
	return nil
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
