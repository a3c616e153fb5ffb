package schemas_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast.internal/schemas"
)

const soundInvoice = `{"type":"record","namespace":"crm","name":"Invoice","fields":[
  {"name":"id","type":"string"},
  {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
    {"name":"amount","type":"string"},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B","C"]}}]}}},
  {"name":"amount","type":["null","string"],"default":null},
  {"name":"extra","type":["null",{"type":"map","values":"Line"}],"default":null},
  {"name":"gone","type":"string"}]}`

const brokenInvoice = `{"type":"record","namespace":"crm","name":"Invoice","fields":[
  {"name":"id","type":"long"},
  {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
    {"name":"amount","type":"long"},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A"]}},
    {"type":"string","name":"added"}]}}},
  {"name":"amount","type":["null","long"],"default":null},
  {"name":"extra","type":["null",{"type":"map","values":"Line"}],"default":null}]}`

// TestP10EveryBreakIsNamed: a version that breaks a rule in several places is
// told of each, where it is in the file, with the level that forbids it.
func TestP10EveryBreakIsNamed(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"crm.Invoice/v1.avsc": {Data: []byte(soundInvoice)}, "crm.Invoice/v2.avsc": {Data: []byte(brokenInvoice)}}
	findings, err := schemas.Check(files, "schemas/")
	if err != nil {
		t.Fatal(err)
	}
	findings = slices.DeleteFunc(findings, func(f schemas.Finding) bool { return f.Line == 0 }) // of the records that are not here
	at := map[string]int{}
	for _, f := range findings {
		if f.Path != "schemas/crm.Invoice/v2.avsc" || !strings.Contains(f.Message, "FULL_TRANSITIVE forbids this change since v1: ") {
			t.Errorf("%s", f)
		}
		at[fmt.Sprintf("%d:%d", f.Line, f.Column)]++
	}
	for place, want := range map[string]struct {
		n    int
		what string
	}{
		"1:36": {1, "gone: the old version needs it"},
		"2:4":  {2, "id, both ways"},
		"4:6":  {2, "lines.amount, both ways"},
		"5:6":  {2, "two symbols of lines.kind"},
		"6:22": {1, "lines.added has no default"},
		"7:4":  {2, "amount, both ways"},
	} {
		if at[place] != want.n {
			t.Errorf("%s (%s): %d findings, want %d", place, want.what, at[place], want.n)
		}
	}
	if t.Failed() || len(findings) != 10 {
		t.Errorf("%d findings:", len(findings))
		for _, f := range findings {
			t.Log(f)
		}
	}
	for _, symbol := range []string{`"B"`, `"C"`} {
		if !slices.ContainsFunc(findings, func(f schemas.Finding) bool { return strings.Contains(f.Message, symbol) }) {
			t.Errorf("symbol %s is not named", symbol)
		}
	}
}

// TestBreaksOfAlienSchemasEnd: schemas with nothing in common, and types that
// hold themselves, are compared in bounded time.
func TestBreaksOfAlienSchemasEnd(t *testing.T) {
	t.Parallel()
	const node = `{"type":"record","name":"Node","fields":[{"name":"v","type":"string"},{"name":"next","type":["null","Node"],"default":null}]}`
	for name, test := range map[string]struct {
		older, newer string
		want         int
	}{
		"another name":             {node, `{"type":"record","name":"Other","fields":[]}`, 1},
		"a record becomes a word":  {node, `"string"`, 2},
		"a type that holds itself": {node, strings.Replace(node, `"string"`, `"int"`, 1), 2},
		"two hundred new fields":   {`{"type":"record","name":"R","fields":[]}`, wide(200), 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := schemas.CheckAgainst(schemas.FullTransitive, test.older, test.newer)
			if err == nil {
				t.Fatal("no break")
			}
			if n := strings.Count(err.Error(), "\n") + 1; n < test.want || n > test.want+1 {
				t.Errorf("%d breaks, want %d: %s", n, test.want, err)
			}
		})
	}
}

func wide(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`{"name":"f%d","type":"string"}`, i)
	}
	return `{"type":"record","name":"R","fields":[` + strings.Join(fields, ",") + `]}`
}

// TestCheckTellsOfEveryFolder: what is not there hides no break beside it.
func TestCheckTellsOfEveryFolder(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"warehouse.Shipment/v1.avsc": {Data: []byte(`{"type":"record","namespace":"warehouse","name":"Other","fields":[]}`)},
		"crm.Invoice/README.md":      {},
	}
	findings, err := schemas.Check(files, "mine/")
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != len(schemas.Topics()) {
		t.Errorf("%d findings, want one for each topic", len(findings))
	}
	var all []string
	for _, f := range findings {
		all = append(all, f.String())
	}
	for _, want := range []string{
		"mine/inventory.Shipment: topic inventory.shipment.v1 needs a version: file does not exist",
		"mine/crm.Invoice: topic crm.invoice.v1 needs a version: no schema in crm.Invoice",
		"mine/warehouse.Shipment/v1.avsc:1:42: the record is called warehouse.Other, its folder warehouse.Shipment",
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%q is not among\n%s", want, strings.Join(all, "\n"))
		}
	}
	if _, err := schemas.Check(os.DirFS(t.TempDir()+"/none"), "none/"); err == nil || err.Error() != "none/: no such file or directory" {
		t.Errorf("no folder: %v", err)
	}
}
