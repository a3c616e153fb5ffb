package example_test

import (
	"encoding/json"
	"testing"

	"holdfast.internal/internal/example"
	"holdfast.internal/schemas"
)

func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{example.Invoices, example.Shipments} {
		lines, err := example.Lines(topic, 1000, 7)
		if err != nil {
			t.Fatal(err)
		}
		about, _ := schemas.TopicNamed(topic)
		latest, err := schemas.Latest(about.Record)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, l := range lines {
			text, err := json.Marshal(l.Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := schemas.EncodeJSON(latest, text); err != nil {
				t.Fatalf("%s: %v\n%s", topic, err, text)
			}
			if id := l.Headers["ce_id"]; ids[id] {
				t.Fatalf("%s: event id %s twice", topic, id)
			} else {
				ids[id] = true
			}
		}
	}
}

// TestNumbersOfSeedsDiffer: who looks for an invoice by its number finds that of
// one session of dev alone.
func TestNumbersOfSeedsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[any]uint64{}
	for _, seed := range []uint64{0, 7, 8, 9999} {
		number := example.New(seed).Invoice().Value["number"]
		if first, again := seen[number]; again {
			t.Errorf("%v is a number of the seeds %d and %d", number, first, seed)
		}
		seen[number] = seed
	}
}
