// Package outbox is the transactional outbox: a table that applications write
// to in their own transactions, and a [Relay] that brings its rows to Kafka.
//
// The columns are Debezium's, and ours behind them. Rows of one aggregate are
// sent in the order in which their transactions committed. In SQLite that is
// the order of insertion, since there is one writer at a time. In PostgreSQL a
// trigger takes a lock per aggregate until the transaction ends and draws the
// row's position under it, so that positions of one aggregate rise in the
// order of commits; the price is that two transactions which write events of
// one aggregate wait for each other, as they would for the aggregate's own row.
//
// The relay looks for rows that are not published, never beyond a high-water
// mark: a transaction that commits late is sent late and never skipped.
package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	// The drivers that Open names.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"holdfast.internal"
)

// Config is where the table is.
type Config struct {
	// DSN is postgres://… or sqlite:FILE.
	DSN holdfast.Secret
	// Table is the table's name, schema.table in PostgreSQL; "outbox" by default.
	Table string
	// Topics maps an aggregatetype to a topic; one that is absent is a topic's name itself.
	Topics map[string]string
	// Keep is how long published rows stay; 0 deletes them at once.
	Keep time.Duration
}

// DefaultTable is the table of a configuration that names none.
const DefaultTable = "outbox"

// Event is one row to insert.
type Event struct {
	ID            string // a UUID; made if empty
	AggregateType string // topic or alias
	AggregateID   string // becomes the record's key
	Type          string // becomes ce_type
	Payload       json.RawMessage
	Headers       map[string]string
}

// Execer is what Insert needs of a transaction: *sql.Tx has it.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Insert writes an event in the application's own transaction, into the table "outbox".
func Insert(ctx context.Context, tx Execer, ev Event) error {
	columns := []string{"aggregatetype", "aggregateid", "type", "payload"}
	args := []any{ev.AggregateType, ev.AggregateID, ev.Type, string(ev.Payload)}
	if ev.ID != "" {
		columns, args = append(columns, "id"), append(args, ev.ID)
	}
	if len(ev.Headers) > 0 {
		b, err := json.Marshal(ev.Headers)
		if err != nil {
			return fmt.Errorf("outbox: headers: %w", err)
		}
		columns, args = append(columns, "headers"), append(args, string(b))
	}
	marks := make([]string, len(columns))
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+DefaultTable+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", args...)
	if err != nil {
		return fmt.Errorf("outbox: insert: %w", err)
	}
	return nil
}

// Outbox is an open table.
type Outbox struct {
	db      *sql.DB
	dialect dialect
	table   string // quoted
	cfg     Config
}

var (
	errDSN   = errors.New("must be postgres://… or sqlite:FILE")
	errTable = errors.New("must be a name, or schema.name, of letters, digits and _")
	nameRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)
)

// ErrNoTable reports that Init was not called yet.
var ErrNoTable = errors.New("no such table in the database")

// noTable is PostgreSQL's code for a table that is missing.
const noTable = "42P01"

// failed says what failed, and tells a missing table from all else.
func (o *Outbox) failed(doing string, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok && pg.Code == noTable || strings.Contains(err.Error(), "no such table") { // SQLite has no code for it
		err = fmt.Errorf("%s: %w", o.cfg.Table, ErrNoTable)
	}
	return fmt.Errorf("outbox: %s: %w", doing, err)
}

// Open opens the database. It connects when it is first used.
func Open(cfg Config) (*Outbox, error) {
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	if !nameRule.MatchString(cfg.Table) {
		return nil, fmt.Errorf("outbox.table: %q %w", cfg.Table, errTable)
	}
	dsn := cfg.DSN.Reveal()
	o := &Outbox{cfg: cfg}
	var driver string
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		o.dialect, driver = sqlite{file: strings.TrimPrefix(dsn, "sqlite:")}, "sqlite"
		dsn = "file:" + strings.TrimPrefix(dsn, "sqlite:") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		o.dialect, driver = postgres{}, "pgx"
	default:
		return nil, fmt.Errorf("outbox.dsn: %w", errDSN)
	}
	o.table = quote(cfg.Table)
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("outbox: open: %w", err)
	}
	o.db = db
	return o, nil
}

func quote(name string) string {
	return `"` + strings.ReplaceAll(name, ".", `"."`) + `"`
}

// Close closes the database.
func (o *Outbox) Close() error { return o.db.Close() }

// DB is the database, for an application that shares it.
func (o *Outbox) DB() *sql.DB { return o.db }

// DDL returns the statements that make the table.
func (o *Outbox) DDL() string { return o.dialect.ddl(o.cfg.Table) }

// Init makes the table if it is not there.
func (o *Outbox) Init(ctx context.Context) error {
	if _, err := o.db.ExecContext(ctx, o.DDL()); err != nil {
		return fmt.Errorf("outbox: init: %w", err)
	}
	return nil
}

// Status counts the table's rows.
type Status struct {
	Pending       int64      `json:"pending"`
	OldestPending *time.Time `json:"oldest_pending"`
	Failed        int64      `json:"failed"`
	Published     int64      `json:"published"` // that are kept
}

// Status counts the rows.
func (o *Outbox) Status(ctx context.Context) (Status, error) {
	var (
		s      Status
		oldest sql.NullString
	)
	row := o.db.QueryRowContext(ctx, `SELECT
		count(CASE WHEN published_at IS NULL AND error IS NULL THEN 1 END),
		`+o.dialect.timeText("min(CASE WHEN published_at IS NULL AND error IS NULL THEN created_at END)")+`,
		count(CASE WHEN error IS NOT NULL THEN 1 END),
		count(CASE WHEN published_at IS NOT NULL THEN 1 END) FROM `+o.table)
	if err := row.Scan(&s.Pending, &oldest, &s.Failed, &s.Published); err != nil {
		return s, o.failed("status", err)
	}
	if t, err := time.Parse(time.RFC3339Nano, oldest.String); err == nil {
		s.OldestPending = &t
	}
	return s, nil
}

// Failed is a row that was refused, without its payload.
type Failed struct {
	ID            string `json:"id"`
	AggregateType string `json:"aggregatetype"`
	AggregateID   string `json:"aggregateid"`
	Type          string `json:"type"`
	CreatedAt     string `json:"created_at"`
	Error         string `json:"error"`
}

// ListFailed returns refused rows, oldest first.
func (o *Outbox) ListFailed(ctx context.Context, limit int) ([]Failed, error) {
	rows, err := o.db.QueryContext(ctx, `SELECT `+o.dialect.idText()+`, aggregatetype, aggregateid, type, `+o.dialect.timeText("created_at")+`, error
		FROM `+o.table+` WHERE error IS NOT NULL ORDER BY position LIMIT $1`, limit)
	if err != nil {
		return nil, o.failed("list", err)
	}
	defer rows.Close()
	failed := []Failed{}
	for rows.Next() {
		var f Failed
		if err := rows.Scan(&f.ID, &f.AggregateType, &f.AggregateID, &f.Type, &f.CreatedAt, &f.Error); err != nil {
			return nil, o.failed("list", err)
		}
		failed = append(failed, f)
	}
	return failed, rows.Err()
}

// Retry lets refused rows be sent again, and returns the ids that no refused row has.
func (o *Outbox) Retry(ctx context.Context, ids ...string) (unknown []string, err error) {
	for _, id := range ids {
		res, err := o.db.ExecContext(ctx, `UPDATE `+o.table+` SET error = NULL WHERE `+o.dialect.idText()+` = $1 AND error IS NOT NULL`, id)
		if err != nil {
			return unknown, o.failed("retry", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return unknown, o.failed("retry", err)
		}
		if n == 0 {
			unknown = append(unknown, id)
		}
	}
	return unknown, nil
}
