package casefile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast.internal"
	"holdfast.internal/processors"
	"holdfast.internal/schemas"
)

func (e *Error) diff(err error, outputs int) []string {
	if err == nil {
		return []string{fmt.Sprintf("want an error, got %d records", outputs)}
	}
	_, f := holdfast.Judge(err)
	var diffs []string
	if e.Class != "" && e.Class != string(f.Class) {
		diffs = append(diffs, fmt.Sprintf("class: want %s, got %s (%v)", e.Class, f.Class, err))
	}
	if e.Code != "" && e.Code != f.Code {
		diffs = append(diffs, fmt.Sprintf("code: want %s, got %s", e.Code, f.Code))
	}
	if !strings.Contains(err.Error(), e.Message) {
		diffs = append(diffs, fmt.Sprintf("message: want %q in %q", e.Message, err.Error()))
	}
	return diffs
}

func (c Case) diff(outputs []processors.Output) ([]string, error) {
	var diffs []string
	if len(outputs) != len(c.Expect) {
		diffs = append(diffs, fmt.Sprintf("want %d records, got %d", len(c.Expect), len(outputs)))
	}
	for i := range min(len(outputs), len(c.Expect)) {
		d, err := c.Expect[i].diff(outputs[i])
		if err != nil {
			return nil, fmt.Errorf("expect %d: %w", i+1, err)
		}
		for _, line := range d {
			diffs = append(diffs, fmt.Sprintf("record %d: %s", i+1, line))
		}
	}
	return diffs, nil
}

// diff encodes what was made as the runtime does, and compares what a reader
// of the topic sees.
func (r Record) diff(out processors.Output) ([]string, error) {
	record, err := recordOf(r.Topic)
	if err != nil {
		return nil, err
	}
	latest, err := schemas.Latest(record)
	if err != nil {
		return nil, err
	}
	expected, err := value(latest, r.Value)
	if err != nil {
		return nil, err
	}
	want, err := decoded(expected)
	if err != nil {
		return nil, err
	}
	var encoders schemas.Encoders
	encoder, err := encoders.For(record)
	if err != nil {
		return nil, err
	}
	var diffs []string
	if out.Key != r.Key {
		diffs = append(diffs, fmt.Sprintf("key: want %q, got %q", r.Key, out.Key))
	}
	body, err := encoder.Encode(out.Value)
	if err != nil {
		return append(diffs, fmt.Sprintf("does not fit %s: %v", latest.Path, err)), nil
	}
	reader, err := schemas.NewReader(latest.Text)
	if err != nil {
		return nil, err
	}
	got, err := decoded(reader.Value(body))
	if err != nil {
		return append(diffs, fmt.Sprintf("cannot be read back: %v", err)), nil
	}
	return append(diffs, compare("", want, got)...), nil
}

func decoded(v holdfast.Value) (any, error) {
	text, err := v.JSON()
	if err != nil {
		return nil, err
	}
	var tree any
	return tree, json.Unmarshal(text, &tree)
}

// compare names every path where two JSON values differ.
func compare(path string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			return compareObjects(path, w, g)
		}
	case []any:
		if g, ok := got.([]any); ok {
			return compareLists(path, w, g)
		}
	}
	a, b := spell(want), spell(got)
	if a == b {
		return nil
	}
	return []string{fmt.Sprintf("%s: want %s, got %s", strings.TrimPrefix(path, "."), a, b)}
}

func compareObjects(path string, want, got map[string]any) []string {
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	var diffs []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		diffs = append(diffs, compare(path+"."+k, want[k], got[k])...)
	}
	return diffs
}

func compareLists(path string, want, got []any) []string {
	var diffs []string
	if len(want) != len(got) {
		diffs = append(diffs, fmt.Sprintf("%s: want %d items, got %d", strings.TrimPrefix(path, "."), len(want), len(got)))
	}
	for i := range min(len(want), len(got)) {
		diffs = append(diffs, compare(fmt.Sprintf("%s[%d]", path, i), want[i], got[i])...)
	}
	return diffs
}

func spell(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
