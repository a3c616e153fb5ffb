package stripe

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// form is a request body before encoding: strings, int64s, bools, and forms and
// lists of them.
type form map[string]any

// reference stands for an id that an earlier step will give. It is written
// {name}, which no encoded text can hold.
type reference string

// encode writes f as Stripe's clients do: names sorted, nesting in brackets,
// lists by index.
func (f form) encode() string {
	var b strings.Builder
	f.append(&b, "")
	return b.String()
}

func (f form) append(b *strings.Builder, prefix string) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		key := url.QueryEscape(name)
		if prefix != "" {
			key = prefix + "[" + key + "]"
		}
		appendValue(b, key, f[name])
	}
}

func appendValue(b *strings.Builder, key string, value any) {
	switch v := value.(type) {
	case form:
		v.append(b, key)
	case []any:
		for i, item := range v {
			appendValue(b, key+"["+strconv.Itoa(i)+"]", item)
		}
	case string:
		pair(b, key, url.QueryEscape(v))
	case reference:
		pair(b, key, "{"+string(v)+"}")
	case int64:
		pair(b, key, strconv.FormatInt(v, 10))
	case bool:
		pair(b, key, strconv.FormatBool(v))
	}
}

func pair(b *strings.Builder, key, value string) {
	if b.Len() > 0 {
		b.WriteByte('&')
	}
	b.WriteString(key)
	b.WriteByte('=')
	b.WriteString(value)
}
