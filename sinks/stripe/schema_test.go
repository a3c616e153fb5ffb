package stripe_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"holdfast.internal/sinks/sinktest"
)

// TestTheSampleHasTheShapeOfTheSchema keeps the records of these tests from
// drifting away from billing.InvoiceCommand.
func TestTheSampleHasTheShapeOfTheSchema(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "schemas", "billing.InvoiceCommand", "v1.avsc"))
	if err != nil {
		t.Fatal(err)
	}
	type avroRecord struct {
		Fields []struct {
			Name string
			Type json.RawMessage
		}
	}
	var root avroRecord
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	names := func(r avroRecord) []string {
		var found []string
		for _, f := range r.Fields {
			found = append(found, f.Name)
		}
		slices.Sort(found)
		return found
	}
	value, _ := command(1).Event.Value.(sinktest.Value)
	samples := map[string]any{"customer": value.Record["customer"]}
	if lines, ok := value.Record["lines"].([]any); ok {
		samples["lines"] = lines[0]
	}
	if got := slices.Sorted(maps.Keys(value.Record)); !slices.Equal(got, names(root)) {
		t.Errorf("fields %v, schema %v", got, names(root))
	}
	for _, f := range root.Fields {
		sample, nested := samples[f.Name].(map[string]any)
		if !nested {
			continue
		}
		var inner struct {
			avroRecord

			Items avroRecord
		}
		if err := json.Unmarshal(f.Type, &inner); err != nil {
			t.Fatal(err)
		}
		want := names(avroRecord{append(inner.Fields, inner.Items.Fields...)})
		if got := slices.Sorted(maps.Keys(sample)); !slices.Equal(got, want) {
			t.Errorf("%s: fields %v, schema %v", f.Name, got, want)
		}
	}
}
