package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast.internal"
)

// ensure makes the table from the record's schema, once, where it is missing
// and the configuration allows it.
func (s *Sink) ensure(ctx context.Context, fullName string) error {
	if !s.cfg.Create {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.created {
		return nil
	}
	ddl, err := s.ddl(fullName)
	if err != nil {
		return &holdfast.UnavailableError{Failure: holdfast.Failure{Class: holdfast.ClassConfig, Code: "create", Err: err}}
	}
	_, err = s.db.ExecContext(ctx, ddl)
	if err != nil && s.dialect.postgres && lostRace(err) {
		err = nil // another worker made it between PostgreSQL's check and its insert
	}
	if err != nil {
		return s.dialect.classify(err)
	}
	s.created = true
	return nil
}

var errNoSchema = errors.New("create: the record's schema is not known")

func (s *Sink) ddl(fullName string) (string, error) {
	if s.schema == nil {
		return "", errNoSchema
	}
	text, err := s.schema(fullName)
	if err != nil {
		return "", errNoSchema
	}
	columns, err := columnsOf(text)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, c := range columns {
		line := quote(c.name) + " " + s.dialect.column(c.kind)
		if slices.Contains(s.cfg.Key, c.name) || c.name == s.cfg.Version {
			line += " NOT NULL"
		}
		lines = append(lines, line)
	}
	for _, name := range append(slices.Clone(s.cfg.Key), s.cfg.Version) {
		if name != "" && !slices.ContainsFunc(columns, func(c column) bool { return c.name == name }) {
			return "", fmt.Errorf("create: record %s has no field %s", fullName, name)
		}
	}
	lines = append(lines, "PRIMARY KEY ("+quoteAll(s.cfg.Key)+")")
	return "CREATE TABLE IF NOT EXISTS " + quoteTable(s.cfg.Table) + " (" + strings.Join(lines, ", ") + ")", nil
}

// column is a field of the record.
type column struct {
	name string
	kind avroType
}

// avroType is the part of an Avro type that columns depend on. Columns may be
// null whatever the schema says: a field that is required today may not be tomorrow.
type avroType struct {
	name             string // int, string, record, ...
	logical          string // decimal, timestamp-millis, ...
	precision, scale int
}

func columnsOf(schema string) ([]column, error) {
	var record struct {
		Fields []struct {
			Name string          `json:"name"`
			Type json.RawMessage `json:"type"`
		} `json:"fields"`
	}
	if err := json.Unmarshal([]byte(schema), &record); err != nil || len(record.Fields) == 0 {
		return nil, errors.New("create: the schema is no record with fields")
	}
	var columns []column
	for _, f := range record.Fields {
		if err := identifier("create: field", f.Name); err != nil {
			return nil, err
		}
		columns = append(columns, column{f.Name, typeOf(f.Type)})
	}
	return columns, nil
}

// typeOf reads a type: a name, an object, or a union with null. Unions of more
// and names defined elsewhere are documents.
func typeOf(raw json.RawMessage) avroType {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return avroType{name: name}
	}
	var union []json.RawMessage
	if json.Unmarshal(raw, &union) == nil {
		union = slices.DeleteFunc(union, func(m json.RawMessage) bool { return typeOf(m).name == "null" })
		if len(union) == 1 {
			return typeOf(union[0])
		}
		return avroType{name: "union"}
	}
	var object struct {
		Type      json.RawMessage `json:"type"`
		Logical   string          `json:"logicalType"` //nolint:tagliatelle // as Avro spells it
		Precision int             `json:"precision"`
		Scale     int             `json:"scale"`
	}
	if json.Unmarshal(raw, &object) != nil || len(object.Type) == 0 {
		return avroType{}
	}
	t := typeOf(object.Type)
	if object.Logical != "" {
		t.logical, t.precision, t.scale = object.Logical, object.Precision, object.Scale
	}
	return t
}
