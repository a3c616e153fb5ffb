// Package table keeps one row per key in a table of PostgreSQL or SQLite: each
// event inserts its row or replaces it, the higher version wins, and the same
// event twice changes nothing.
package table

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// Sink is one table. Close it to release its connections.
type Sink struct {
	cfg     Config
	db      *sql.DB
	dialect dialect
	schema  func(fullName string) (string, error)

	mu      sync.Mutex
	created bool
}

// New returns a sink for cfg.Table. It does not connect yet.
func New(cfg Config, deps sinks.Deps) (*Sink, error) {
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	deps = deps.WithDefaults()
	db, d, err := open(cfg, deps.Concurrency)
	if err != nil {
		return nil, err
	}
	return &Sink{cfg: cfg, db: db, dialect: d, schema: deps.Schema}, nil
}

// Close releases the connections.
func (s *Sink) Close() error { return s.db.Close() }

// Deliver upserts the event's row, or deletes it where the event has no value.
func (s *Sink) Deliver(ctx context.Context, a *sinks.Attempt) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if a.Event.Value == nil {
		return s.erase(ctx, a)
	}
	fields, err := a.Event.Value.Fields()
	if err != nil {
		return err
	}
	if err := s.ensure(ctx, a.Event.Value.Schema()); err != nil {
		return err
	}
	return s.upsert(ctx, a, fields)
}

func (s *Sink) upsert(ctx context.Context, a *sinks.Attempt, fields map[string]any) error {
	columns := slices.Sorted(maps.Keys(fields))
	args, err := s.args(columns, fields)
	if err != nil {
		return err
	}
	result, err := s.db.ExecContext(ctx, s.statement(columns), args...)
	if err != nil {
		return s.dialect.classify(err)
	}
	// No row changed: the table has this version or a later one.
	if n, err := result.RowsAffected(); err == nil {
		a.Receipt.Duplicate = n == 0
	}
	return nil
}

func (s *Sink) args(columns []string, fields map[string]any) ([]any, error) {
	args := make([]any, len(columns))
	for i, column := range columns {
		if err := identifier("field", column); err != nil {
			return nil, holdfast.Permanent(holdfast.ClassValidation, "column", err)
		}
		var err error
		if args[i], err = s.dialect.value(fields[column]); err != nil {
			return nil, holdfast.Permanent(holdfast.ClassValidation, "value", fmt.Errorf("field %s: %w", column, err))
		}
	}
	return args, s.present(fields)
}

var errMissing = errors.New("must not be null")

// present refuses a row without its key or version: an upsert would insert it
// anew each time, or let it win over every other.
func (s *Sink) present(fields map[string]any) error {
	names := s.cfg.Key
	if s.cfg.Version != "" {
		names = append(slices.Clone(names), s.cfg.Version)
	}
	for _, name := range names {
		if fields[name] == nil {
			return holdfast.Permanent(holdfast.ClassValidation, "key", fmt.Errorf("field %s: %w", name, errMissing))
		}
	}
	if _, isDecimal := fields[s.cfg.Version].(*big.Rat); isDecimal && !s.dialect.postgres {
		return holdfast.Permanent(holdfast.ClassValidation, "version", errDecimalVersion)
	}
	return nil
}

// SQLite keeps decimals as text, in which "10" comes before "9".
var errDecimalVersion = errors.New("a decimal cannot be the version of a table in SQLite")

// statement is one upsert; both databases understand it. A condition on the
// version makes an older record, and the same one again, change nothing.
func (s *Sink) statement(columns []string) string {
	var names, params, sets []string
	for i, column := range columns {
		names = append(names, quote(column))
		params = append(params, s.dialect.placeholder(i+1))
		if !slices.Contains(s.cfg.Key, column) {
			sets = append(sets, quote(column)+" = excluded."+quote(column))
		}
	}
	action := "NOTHING"
	if len(sets) > 0 {
		action = "UPDATE SET " + strings.Join(sets, ", ")
		if v := s.cfg.Version; v != "" {
			action += " WHERE t." + quote(v) + " IS NULL OR t." + quote(v) + " < excluded." + quote(v)
		}
	}
	return "INSERT INTO " + quoteTable(s.cfg.Table) + " AS t (" + strings.Join(names, ", ") + ") VALUES (" +
		strings.Join(params, ", ") + ") ON CONFLICT (" + quoteAll(s.cfg.Key) + ") DO " + action
}

// erase removes the row that the record's key names.
func (s *Sink) erase(ctx context.Context, a *sinks.Attempt) error {
	if s.cfg.OnTombstone != deletes {
		return holdfast.Permanent(holdfast.ClassValidation, "tombstone", errors.New("a record without a value makes no row"))
	}
	if a.Event.Key == nil {
		return holdfast.Permanent(holdfast.ClassValidation, "key", errors.New("a record without value and key names no row"))
	}
	// The key is text whatever the column's type is.
	column := "CAST(" + quote(s.cfg.Key[0]) + " AS TEXT)"
	result, err := s.db.ExecContext(ctx, "DELETE FROM "+quoteTable(s.cfg.Table)+" WHERE "+column+" = "+s.dialect.placeholder(1), string(a.Event.Key))
	if err != nil {
		return s.erased(err)
	}
	if n, err := result.RowsAffected(); err == nil {
		a.Receipt.Duplicate = n == 0
	}
	return nil
}

// erased makes nothing of a missing table that a later record will create.
func (s *Sink) erased(err error) error {
	verdict := s.dialect.classify(err)
	if _, f := holdfast.Judge(verdict); s.cfg.Create && f.Code == codeNoTable {
		return nil
	}
	return verdict
}

func quote(name string) string { return `"` + name + `"` }

func quoteTable(name string) string {
	return quote(strings.ReplaceAll(name, ".", `"."`))
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return strings.Join(quoted, ", ")
}
