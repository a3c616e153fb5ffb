package table

import (
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

const sqlitePrefix = "sqlite:"

// dialect is where the databases differ.
type dialect struct {
	postgres bool
	// value turns a field into what the driver takes.
	value func(any) (any, error)
	// column gives the SQL type of an Avro type.
	column func(avroType) string
	// classify judges the database's error.
	classify func(error) error
}

// placeholder is the n-th parameter, from 1.
func (d dialect) placeholder(n int) string {
	if d.postgres {
		return "$" + strconv.Itoa(n)
	}
	return "?" + strconv.Itoa(n)
}

// open makes a pool; it connects when it is first used. Its errors do not
// repeat the DSN.
func open(cfg Config, concurrency int) (*sql.DB, dialect, error) {
	if isPostgres(cfg.DSN.Reveal()) {
		db, err := openPostgres(cfg, concurrency)
		return db, dialect{true, postgresValue, postgresType, classifyPostgres}, err
	}
	db, err := openSQLite(cfg)
	return db, dialect{false, sqliteValue, sqliteType, classifySQLite}, err
}

func openPostgres(cfg Config, concurrency int) (*sql.DB, error) {
	conf, err := pgx.ParseConfig(verified(cfg.DSN.Reveal()))
	if err != nil {
		return nil, errors.New("dsn: must be a PostgreSQL URL such as postgres://user:password@host:5432/database")
	}
	// The server ends a statement even where the client is gone.
	conf.RuntimeParams["statement_timeout"] = strconv.FormatInt(cfg.Timeout.Milliseconds(), 10)
	conf.RuntimeParams["application_name"] = "holdfast"
	conf.ConnectTimeout = min(cfg.Timeout, 5*time.Second)
	db := stdlib.OpenDB(*conf)
	db.SetMaxOpenConns(concurrency)
	db.SetMaxIdleConns(concurrency)
	db.SetConnMaxIdleTime(time.Minute)
	return db, nil
}

// verified asks for verified TLS where the DSN says nothing and the server is
// not on this machine: libpq's default would fall back to plain text.
func verified(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil || u.Query().Has("sslmode") || local(u.Hostname()) {
		return dsn
	}
	q := u.Query()
	q.Set("sslmode", "verify-full")
	u.RawQuery = q.Encode()
	return u.String()
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || strings.HasPrefix(host, "/") || (ip != nil && ip.IsLoopback())
}

// openSQLite uses one connection: SQLite has one writer anyway, and waiting
// for it here is cheaper than being told that it is busy.
func openSQLite(cfg Config) (*sql.DB, error) {
	path := strings.TrimPrefix(strings.TrimPrefix(cfg.DSN.Reveal(), sqlitePrefix), "//")
	q := url.Values{}
	q.Add("_pragma", "busy_timeout("+strconv.FormatInt(cfg.Timeout.Milliseconds(), 10)+")")
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)") // what was reported as delivered survives a power cut
	q.Add("_txlock", "immediate")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, errors.New("dsn: must be sqlite:FILE")
	}
	db.SetMaxOpenConns(1)
	return db, nil
}
