package schemas

import (
	"encoding/json"
	"strings"
)

// places tells where in the text of a schema each of its fields is: by path
// (lines.items.amount), the offset of the key "name". The path "" is the
// record itself. Types that are passed by name are followed.
type places map[string]int

// maxPlaces bounds what types that name each other can grow to.
const maxPlaces = 10_000

func placesOf(text string) places {
	dec := json.NewDecoder(strings.NewReader(text))
	p := places{"": 0}
	if root := readLocated(dec); root != nil {
		p.walk(root, "", root.names(map[string]*located{}))
	}
	return p
}

// find returns where the path is, or what is left of it: a field that is gone
// was in its record.
func (p places) find(path string) int {
	for {
		if at, ok := p[path]; ok {
			return at
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
}

func (p places) walk(v *located, path string, named map[string]*located) {
	below := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	for _, branch := range v.array {
		p.walk(branch, path, named)
	}
	if t := named[v.text]; t != nil && len(p) < maxPlaces && strings.Count(path, ".") < maxNesting {
		p.walk(t, path, named)
	}
	if t := v.object["type"]; t != nil {
		p.walk(t, path, named)
	}
	for _, inner := range []string{"items", "values"} {
		if t := v.object[inner]; t != nil {
			p.walk(t, below(inner), named)
		}
	}
	if v.object["fields"] == nil {
		return
	}
	if path == "" {
		p[""] = v.at
	}
	for _, field := range v.object["fields"].array {
		name, t := field.object["name"], field.object["type"]
		if name == nil || t == nil {
			continue
		}
		at := below(name.text)
		if _, again := p[at]; !again { // the first branch of a union has it
			p[at] = field.at
			p.walk(t, at, named)
		}
	}
}

// maxNesting ends types that hold themselves.
const maxNesting = 32

// located is a JSON value and the offset of its text; of an object that of its
// key "name", if it has one.
type located struct {
	at     int
	text   string
	object map[string]*located
	array  []*located
}

// readLocated reads the next value; nil where there is none.
func readLocated(dec *json.Decoder) *located {
	token, err := dec.Token()
	if err != nil {
		return nil
	}
	v := &located{at: int(dec.InputOffset()) - 1}
	switch token {
	case json.Delim('{'):
		v.object = map[string]*located{}
		for dec.More() {
			key, _ := dec.Token()
			name, _ := key.(string)
			if name == "name" {
				v.at = int(dec.InputOffset()) - len(`"name"`)
			}
			inner := readLocated(dec)
			if inner == nil {
				return nil
			}
			v.object[name] = inner
		}
		_, err = dec.Token()
	case json.Delim('['):
		for dec.More() {
			inner := readLocated(dec)
			if inner == nil {
				return nil
			}
			v.array = append(v.array, inner)
		}
		_, err = dec.Token()
	default:
		v.text, _ = token.(string)
	}
	if err != nil {
		return nil
	}
	return v
}

// names adds the named types of a schema, as they may be referred to.
func (v *located) names(into map[string]*located) map[string]*located {
	if name := v.object["name"]; name != nil && v.object["fields"] != nil {
		into[name.text] = v
		if space := v.object["namespace"]; space != nil {
			into[space.text+"."+name.text] = v
		}
	}
	for _, inner := range v.object {
		inner.names(into)
	}
	for _, inner := range v.array {
		inner.names(into)
	}
	return into
}
