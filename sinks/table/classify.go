package table

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"holdfast.internal"
)

// codeNoTable is the error code of a missing table, whatever the database.
const codeNoTable = "undefined_table"

// databaseError says what went wrong by names alone: a database's own message
// repeats values of the row.
type databaseError struct{ text string }

// Error returns the names.
func (e *databaseError) Error() string { return e.text }

func failure(class holdfast.Class, code, text string) holdfast.Failure {
	return holdfast.Failure{Class: class, Code: code, Err: &databaseError{text}}
}

// classifyPostgres judges by SQLSTATE. An upsert may be repeated at will, so an
// unknown outcome is simply transient.
func classifyPostgres(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return bySQLState(pg)
	}
	if verdict := cutShort(err); verdict != nil {
		return verdict
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return &holdfast.UnavailableError{Failure: failure(holdfast.ClassNetwork, "connect", "no connection to the database")}
	}
	// pgx refuses a value that does not fit the column before it sends anything.
	if text := err.Error(); strings.Contains(text, "unable to encode") || strings.Contains(text, "cannot find encode plan") {
		return &holdfast.PermanentError{Failure: failure(holdfast.ClassValidation, "type", "a field does not fit its column")}
	}
	return &holdfast.TransientError{Failure: failure(holdfast.ClassNetwork, "connection", "connection to the database lost"), Again: true}
}

// cutShort covers contexts. A cancelled one ends in its own error.
func cutShort(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &holdfast.TransientError{Failure: failure(holdfast.ClassTimeout, "timeout", "no answer of the database in time")}
	}
	return nil
}

func bySQLState(pg *pgconn.PgError) error {
	of := func(class holdfast.Class) holdfast.Failure {
		f := failure(class, pg.Code, describe(pg))
		if pg.Code == "42P01" {
			f.Code = codeNoTable
		}
		return f
	}
	switch pg.Code {
	case "40001", "40P01", "55P03": // serialization, deadlock, lock not available
		return &holdfast.TransientError{Failure: of(holdfast.ClassConflict), Again: true}
	case "57014": // statement_timeout
		return &holdfast.TransientError{Failure: of(holdfast.ClassTimeout)}
	case "42501": // insufficient privilege
		return &holdfast.UnauthorizedError{Failure: of(holdfast.ClassAuth)}
	case "25006", "3D000", "3F000": // a standby after fail-over; no such database, no such schema
		return &holdfast.UnavailableError{Failure: of(holdfast.ClassConfig)}
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "28":
		return &holdfast.UnauthorizedError{Failure: of(holdfast.ClassAuth)}
	case "08", "57", "58":
		return &holdfast.UnavailableError{Failure: of(holdfast.ClassNetwork)}
	case "53": // out of connections, disk or memory
		return &holdfast.UnavailableError{Failure: of(holdfast.ClassQuota)}
	case "42": // undefined or mismatched columns, tables, constraints
		return &holdfast.DriftError{Failure: of(holdfast.ClassContract)}
	case "22", "23":
		return &holdfast.PermanentError{Failure: of(holdfast.ClassValidation)}
	case "40":
		return &holdfast.TransientError{Failure: of(holdfast.ClassConflict)}
	}
	return &holdfast.TransientError{Failure: of(holdfast.ClassUnknown)}
}

// describe names the objects of the database that the error is about.
func describe(pg *pgconn.PgError) string {
	text := []string{"SQLSTATE " + pg.Code}
	for _, part := range []struct{ what, name string }{
		{"table", pg.TableName}, {"column", pg.ColumnName}, {"constraint", pg.ConstraintName},
	} {
		if part.name != "" {
			text = append(text, part.what+" "+part.name)
		}
	}
	return strings.Join(text, ", ")
}

// lostRace reports what CREATE TABLE IF NOT EXISTS says when two run at once.
func lostRace(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "23505" || pg.Code == "42P07" || pg.Code == "42710")
}

// classifySQLite judges by SQLite's result code. Missing tables and columns
// share one, so their text decides; it names objects, not values.
func classifySQLite(err error) error {
	if verdict := cutShort(err); verdict != nil {
		return verdict
	}
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return &holdfast.TransientError{Failure: failure(holdfast.ClassUnknown, "sqlite", "the database answered with an error")}
	}
	code := "sqlite_" + strconv.Itoa(lite.Code())
	text := "SQLite result code " + strconv.Itoa(lite.Code())
	switch lite.Code() & 0xff { // the low byte is the primary code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return &holdfast.TransientError{Failure: failure(holdfast.ClassConflict, code, text), Again: true}
	case sqlite3.SQLITE_INTERRUPT:
		return &holdfast.TransientError{Failure: failure(holdfast.ClassTimeout, code, text)}
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return &holdfast.PermanentError{Failure: failure(holdfast.ClassValidation, code, text)}
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA:
		return sqliteDrift(lite, code, text)
	case sqlite3.SQLITE_FULL:
		return &holdfast.UnavailableError{Failure: failure(holdfast.ClassQuota, code, text)}
	case sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PERM:
		return &holdfast.UnauthorizedError{Failure: failure(holdfast.ClassAuth, code, text)}
	}
	return &holdfast.UnavailableError{Failure: failure(holdfast.ClassConfig, code, text)}
}

func sqliteDrift(lite *sqlite.Error, code, text string) error {
	if strings.Contains(lite.Error(), "no such table") {
		code = codeNoTable
	}
	return &holdfast.DriftError{Failure: failure(holdfast.ClassContract, code, text)}
}
