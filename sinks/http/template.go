package http

import (
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast.internal"
)

// template is a URL whose path and query may hold placeholders.
type template struct {
	fixed *url.URL // the whole URL where there are no placeholders
	parts []part
}

// part is literal text, or a placeholder.
type part struct {
	text  string   // literal
	field []string // path of a field; nil for {key}
	holds bool     // it is a placeholder
	query bool     // it stands behind the question mark
}

var errPlaceholder = errors.New("url: braces must enclose key, a field's name, or names joined by dots")

func parseTemplate(origin, rest string) (template, error) {
	parts := []part{{text: origin}}
	query := false
	for rest != "" {
		literal, after, opened := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return template{}, errPlaceholder
		}
		query = query || strings.Contains(literal, "?")
		parts = append(parts, part{text: literal})
		if !opened {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || !validName(name) {
			return template{}, errPlaceholder
		}
		p := part{holds: true, query: query}
		if name != "key" {
			p.field = strings.Split(name, ".")
		}
		parts, rest = append(parts, p), tail
	}
	return finish(parts)
}

// finish checks that the URL parses, with a harmless text in each placeholder.
func finish(parts []part) (template, error) {
	t := template{parts: parts}
	var b strings.Builder
	for _, p := range parts {
		if p.holds {
			p.text = "x"
		}
		b.WriteString(p.text)
	}
	u, err := url.Parse(b.String())
	if err != nil {
		return template{}, errors.New("url: must be a URL")
	}
	if !t.dynamic() {
		t.fixed = u
	}
	return t, nil
}

func validName(name string) bool {
	for part := range strings.SplitSeq(name, ".") {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
			return false
		}
	}
	return true
}

func (t template) dynamic() bool {
	for _, p := range t.parts {
		if p.holds {
			return true
		}
	}
	return false
}

// url fills the placeholders of one event. A value that is missing, or that
// would climb in the path, makes the record permanent.
func (t template) url(ev *holdfast.Event) (*url.URL, error) {
	if t.fixed != nil {
		return t.fixed, nil
	}
	var fields map[string]any
	var b strings.Builder
	for _, p := range t.parts {
		if !p.holds {
			b.WriteString(p.text)
			continue
		}
		if p.field != nil && fields == nil {
			var err error
			if fields, err = ev.Value.Fields(); err != nil {
				return nil, err
			}
		}
		value, err := p.value(ev, fields)
		if err != nil {
			return nil, holdfast.Permanent(holdfast.ClassValidation, "url_placeholder", err)
		}
		b.WriteString(value)
	}
	u, err := url.Parse(b.String())
	if err != nil {
		return nil, holdfast.Permanent(holdfast.ClassValidation, "url_placeholder", errors.New("url with its placeholders filled does not parse"))
	}
	return u, nil
}

func (p part) value(ev *holdfast.Event, fields map[string]any) (string, error) {
	name, text := "key", string(ev.Key)
	if p.field != nil {
		name = strings.Join(p.field, ".")
		var ok bool
		if text, ok = plain(dig(fields, p.field)); !ok {
			return "", fmt.Errorf("url placeholder {%s}: the record has no such text, number or time", name)
		}
	}
	if p.query {
		return url.QueryEscape(text), nil
	}
	// Escaping leaves dots alone, and a server resolves them.
	if text == "" || text == "." || text == ".." {
		return "", fmt.Errorf("url placeholder {%s}: must be neither empty nor dots", name)
	}
	return url.PathEscape(text), nil
}

func dig(fields map[string]any, path []string) any {
	value := any(fields)
	for _, name := range path {
		record, _ := value.(map[string]any)
		value = record[name]
	}
	return value
}

// plainTypes are what [plain] can write, in Avro's names.
func plainTypes() []string {
	return []string{"string", "enum", "boolean", "int", "long", "decimal", "date", "timestamp-*", "local-timestamp-*"}
}

// plain writes a scalar as it stands in the JSON body.
func plain(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int32:
		return strconv.FormatInt(int64(v), 10), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	case *big.Rat:
		digits, exact := v.FloatPrec()
		return v.FloatString(digits), exact
	}
	return "", false
}
