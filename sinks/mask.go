package sinks

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxDetail = 1 << 10 // bytes of an answer's message that are kept
	maxCode   = 64
	hidden    = "***"
)

// Mask makes an answer's text fit for headers and logs: texts of the request
// that it repeats, quoted text, mail addresses, long numbers and long tokens
// become ***, control characters spaces, and at most 1 KiB is kept.
func Mask(text string, sent []string) string {
	text = strings.ToValidUTF8(text, "?")
	for _, s := range longestFirst(sent) {
		text = strings.ReplaceAll(text, s, hidden)
	}
	var b strings.Builder
	for _, word := range strings.FieldsFunc(maskQuoted(text), splits) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(maskWord(word))
	}
	// Cut last: half of a secret would pass as a short word.
	return strings.ToValidUTF8(b.String()[:min(b.Len(), maxDetail)], "")
}

// longestFirst leaves out texts so short that they occur in any sentence, and
// puts those that contain others first.
func longestFirst(sent []string) []string {
	const least = 4
	kept := slices.DeleteFunc(slices.Clone(sent), func(s string) bool { return len(s) < least })
	slices.SortFunc(kept, func(a, b string) int { return len(b) - len(a) })
	return kept
}

func splits(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || !unicode.IsPrint(r) }

// maskQuoted hides what stands in quotes: vendors quote the offending value.
// An apostrophe within a word opens nothing; a quote that is never closed
// hides the rest.
func maskQuoted(text string) string {
	var b strings.Builder
	before := ' '
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		opens := r == '"' || r == '`' || (r == '\'' && !unicode.IsLetter(before) && !unicode.IsDigit(before))
		if !opens {
			b.WriteRune(r)
			before, i = r, i+size
			continue
		}
		b.WriteRune(r)
		b.WriteString(hidden)
		b.WriteRune(r)
		end := strings.IndexRune(text[i+size:], r)
		if end < 0 {
			return b.String()
		}
		before, i = r, i+size+end+size
	}
	return b.String()
}

func maskWord(w string) string {
	const longNumber, longToken = 5, 24
	digits := 0
	for _, r := range w {
		if unicode.IsDigit(r) {
			digits++
		}
	}
	if strings.ContainsRune(w, '@') || digits >= longNumber || len(w) > longToken || strings.Contains(w, "://") {
		return hidden
	}
	return w
}

// excerpt finds the vendor's code and message in the usual places of a JSON
// answer; of other text it takes the text, of a web page nothing.
func excerpt(body []byte, contentType string) (code, message string) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || bytes.HasPrefix(body, []byte("<")) || strings.Contains(contentType, "html") {
		return "", ""
	}
	var doc any
	if json.Unmarshal(body, &doc) != nil {
		if body[0] == '{' || body[0] == '[' || !strings.HasPrefix(contentType, "text/plain") {
			return "", "" // cut or no text: nobody can say what it holds
		}
		return "", string(body)
	}
	if list, ok := doc.([]any); ok && len(list) > 0 {
		doc = list[0]
	}
	top, _ := doc.(map[string]any)
	inner, _ := top["error"].(map[string]any)
	if inner == nil {
		inner = top
	}
	code = firstText(inner, "code", "errorCode", "error_code", "type", "category", "error")
	message = firstText(inner, "message", "detail", "title", "error_description", "description")
	return code, message
}

func firstText(m map[string]any, names ...string) string {
	for _, name := range names {
		if s, ok := m[name].(string); ok && s != "" {
			return s
		}
	}
	return ""
}

// safeCode keeps what looks like an identifier and repeats nothing of the request.
func safeCode(code string, sent []string) string {
	const ident = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/#"
	if len(code) > maxCode || strings.Trim(code, ident) != "" {
		return ""
	}
	for _, s := range longestFirst(sent) {
		if strings.Contains(code, s) {
			return ""
		}
	}
	return code
}

// Texts returns the texts and numbers of a JSON document but the names of its
// fields, to be masked where an answer repeats them; nil for what is no JSON.
func Texts(document []byte) []string {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	var doc any
	if dec.Decode(&doc) != nil {
		return nil
	}
	return appendTexts(nil, doc)
}

func appendTexts(texts []string, doc any) []string {
	switch v := doc.(type) {
	case string:
		return append(texts, v)
	case json.Number:
		return append(texts, v.String())
	case []any:
		for _, item := range v {
			texts = appendTexts(texts, item)
		}
	case map[string]any:
		for _, item := range v {
			texts = appendTexts(texts, item)
		}
	}
	return texts
}
