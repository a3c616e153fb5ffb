package casefile_test

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"holdfast.internal"
	"holdfast.internal/internal/casefile"
	"holdfast.internal/processors"
	"holdfast.internal/schemas/warehouse"
)

const given = `
  given:
    topic: inventory.shipment.v1
    value: {id: shp_1, order_id: o, version: 1, status: CREATED, carrier: DHL, items: [], weight_kg: "1.000", updated_at: "2026-11-24T10:00:00Z", recipient: Ana, destination_country: PT}`

const row = `{shipment_id: shp_1, version: 1, order_id: o, status: CREATED, carrier: DHL, item_count: 0, weight_kg: "1.000", updated_at: "2026-11-24T10:00:00Z", country: PT}`

func load(t *testing.T, text string) ([]casefile.Case, error) {
	t.Helper()
	return casefile.Load(fstest.MapFS{"a.case.yaml": {Data: []byte(text)}})
}

// transform makes what the expectation of row says, but for changes.
func transform(change func(*warehouse.Shipment)) processors.Processor {
	return processors.Func(func(context.Context, holdfast.Event) ([]processors.Output, error) {
		at, err := time.Parse(time.RFC3339, "2026-11-24T10:00:00Z")
		s := warehouse.Shipment{
			ShipmentID: "shp_1", Version: 1, OrderID: "o", Status: "CREATED", Carrier: "DHL",
			WeightKg: big.NewRat(1, 1), UpdatedAt: at, Country: "PT",
		}
		change(&s)
		return []processors.Output{{Key: s.ShipmentID, Value: &s}}, err
	})
}

var errWrong = errors.New("it is wrong")

// TestDifferencesAreFound: a case fails for every way in which a processor may
// differ, and names the place.
func TestDifferencesAreFound(t *testing.T) {
	t.Parallel()
	expectRow := "- name: x" + given + "\n  expect: {topic: warehouse.shipment.v1, key: shp_1, value: " + row + "}"
	refuses := processors.Func(func(context.Context, holdfast.Event) ([]processors.Output, error) {
		return nil, holdfast.Permanent(holdfast.ClassTransform, "wrong", errWrong)
	})
	tests := map[string]struct {
		text string
		p    processors.Processor
		want []string
	}{
		"as expected":             {expectRow, transform(func(*warehouse.Shipment) {}), nil},
		"another field":           {expectRow, transform(func(s *warehouse.Shipment) { s.Carrier = "UPS" }), []string{`record 1: carrier: want "DHL", got "UPS"`}},
		"another decimal":         {expectRow, transform(func(s *warehouse.Shipment) { s.WeightKg = big.NewRat(1001, 1000) }), []string{`record 1: weight_kg: want "1.000", got "1.001"`}},
		"another key and field":   {expectRow, transform(func(s *warehouse.Shipment) { s.ShipmentID = "shp_2" }), []string{`record 1: key: want "shp_1", got "shp_2"`, `record 1: shipment_id: want "shp_1", got "shp_2"`}},
		"a record too many":       {"- name: x" + given + "\n  expect: []", transform(func(*warehouse.Shipment) {}), []string{"want 0 records, got 1"}},
		"a record too few":        {"- name: x" + given + "\n  expect:\n  - {topic: warehouse.shipment.v1, key: shp_1, value: " + row + "}\n  - {topic: warehouse.shipment.v1, key: shp_1, value: " + row + "}", transform(func(*warehouse.Shipment) {}), []string{"want 2 records, got 1"}},
		"refused":                 {expectRow, refuses, []string{"refused, class transform, code wrong: transform wrong: it is wrong"}},
		"refused as expected":     {"- name: x" + given + "\n  expect_error: {class: transform, code: wrong, message: is wrong}", refuses, nil},
		"refused otherwise":       {"- name: x" + given + "\n  expect_error: {class: validation, code: other, message: right}", refuses, []string{"class: want validation, got transform (transform wrong: it is wrong)", "code: want other, got wrong", `message: want "right" in "transform wrong: it is wrong"`}},
		"made though wrong":       {"- name: x" + given + "\n  expect_error: {}", transform(func(*warehouse.Shipment) {}), []string{"want an error, got 1 records"}},
		"too wide for its schema": {expectRow, transform(func(s *warehouse.Shipment) { s.WeightKg = new(big.Rat).SetInt64(1e17) }), []string{"does not fit"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases, err := load(t, test.text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cases[0].Check(t.Context(), test.p)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got, test.want, strings.Contains) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"a misspelt key":        {"- name: x" + given + "\n  expct: []", "[5:3] unknown field"},
		"neither of the two":    {"- name: x" + given, `case 1 "x"`},
		"no name":               {"- given: {topic: t, value: {}}\n  expect: []", "needs a name"},
		"a list where a map is": {"- name: [x]\n", "[1:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t, test.text); err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "a.case.yaml: ") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := casefile.Load(fstest.MapFS{}); !errors.Is(err, casefile.ErrNoCases) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestBadCases: a given value that its schema refuses is the case's fault, told by its path.
func TestBadCases(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"a wrong type":       {"- name: x" + strings.Replace(given, "version: 1", "version: one", 1) + "\n  expect: []", "version"},
		"an unknown topic":   {"- name: x\n  given: {topic: nowhere.v1, value: {}}\n  expect: []", `"nowhere.v1"`},
		"an unknown version": {"- name: x" + given + "\n    version: 9\n  expect: []", "no version 9"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases, err := load(t, test.text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cases[0].Check(t.Context(), transform(func(*warehouse.Shipment) {})); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
