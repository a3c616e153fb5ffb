// Package schemas holds what the records are: the .avsc files, the topics
// they travel on, the Go types generated from them, and the one seam through
// which bytes become values and values bytes.
//
// A schema is schemas/<full name>/vN.avsc. Files are append-only: a released
// version is never edited, because records written with it lie in retry and
// dead-letter topics for as long as anybody needs to mend them. Generated types live in
// a folder per namespace and always follow the newest version.
//
// Two libraries stand behind the seam: hamba/avro generates types and encodes
// them; twmb/avro decodes, because what it is given is untrusted
// (docs/decisions/0006-which-avro-library-decodes.md).
package schemas

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed */v*.avsc
var files embed.FS

// Files returns the embedded folders, one per record.
func Files() fs.FS { return files }

// Level is a compatibility level of the registry.
type Level string

// The levels in use: records live long in retry and dead-letter topics, so
// only transitive ones are safe.
const (
	FullTransitive     Level = "FULL_TRANSITIVE"
	BackwardTransitive Level = "BACKWARD_TRANSITIVE"
)

// Topic says what travels on a topic.
type Topic struct {
	Name   string
	Record string // full name
	Level  Level
	Owner  string
}

// Subject is the registry's name for the topic's values.
func (t Topic) Subject() string { return t.Name + "-value" }

// Topics lists every data topic. Keep it sorted by name.
func Topics() []Topic {
	return []Topic{
		{Name: "billing.invoice-command.v1", Record: "billing.InvoiceCommand", Level: FullTransitive, Owner: "billing"},
		{Name: "crm.invoice.v1", Record: "crm.Invoice", Level: FullTransitive, Owner: "crm"},
		{Name: "inventory.shipment.v1", Record: "inventory.Shipment", Level: FullTransitive, Owner: "inventory"},
		{Name: "warehouse.shipment.v1", Record: "warehouse.Shipment", Level: BackwardTransitive, Owner: "warehouse"},
	}
}

// TopicNamed returns the topic called name.
func TopicNamed(name string) (Topic, bool) {
	for _, t := range Topics() {
		if t.Name == name {
			return t, true
		}
	}
	return Topic{}, false
}

// Version is one released shape of a record.
type Version struct {
	Record string
	Number int
	Path   string // crm.Invoice/v2.avsc
	Text   string
}

var errVersions = errors.New("no schema")

// Versions returns the versions of a record in fsys, oldest first.
func Versions(fsys fs.FS, record string) ([]Version, error) {
	entries, err := fs.ReadDir(fsys, record)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", record, err)
	}
	var versions []Version
	for _, e := range entries {
		number, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(e.Name(), "v"), ".avsc"))
		if err != nil || !strings.HasSuffix(e.Name(), ".avsc") {
			continue
		}
		file := path.Join(record, e.Name())
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", record, err)
		}
		versions = append(versions, Version{Record: record, Number: number, Path: file, Text: string(text)})
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("%w in %s", errVersions, record)
	}
	slices.SortFunc(versions, func(a, b Version) int { return cmp.Compare(a.Number, b.Number) })
	return versions, nil
}

// Latest returns the newest version of a record that is compiled in.
func Latest(record string) (Version, error) {
	versions, err := Versions(files, record)
	if err != nil {
		return Version{}, err
	}
	return versions[len(versions)-1], nil
}
