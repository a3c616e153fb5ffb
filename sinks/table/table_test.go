package table_test

import (
	"context"
	"database/sql"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"

	"holdfast.internal"
	"holdfast.internal/sinks"
	"holdfast.internal/sinks/sinktest"
	"holdfast.internal/sinks/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database is one of those that the suite runs against.
type database struct {
	name, driver, dsn string // dsn in the driver's spelling
	config            holdfast.Secret
}

// databases returns a fresh SQLite file, and PostgreSQL where the environment names one.
func databases(t *testing.T) []database {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rows ä.db")
	found := []database{{"sqlite", "sqlite", file, holdfast.Secret("sqlite:" + file)}}
	dsn := os.Getenv("HOLDFAST_TEST_POSTGRES")
	if dsn == "" {
		t.Log("SKIPPED for PostgreSQL: HOLDFAST_TEST_POSTGRES names no database")
		return found
	}
	return append(found, database{"postgres", "pgx", dsn, holdfast.Secret(dsn)})
}

// onEach runs a test on each database, with a table of its own.
func onEach(t *testing.T, run func(t *testing.T, db database, name string)) {
	t.Helper()
	for _, db := range databases(t) {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			name := "t_" + strings.ToLower(strings.NewReplacer("/", "_", "#", "_").Replace(t.Name()))
			name = name[:min(len(name), 50)] + "_" + strconv.Itoa(os.Getpid())
			t.Cleanup(func() { db.exec(t, `DROP TABLE IF EXISTS "`+name+`"`) })
			run(t, db, name)
		})
	}
}

func (d database) exec(t *testing.T, statement string) {
	t.Helper()
	db := d.open(t)
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
		t.Fatal(err)
	}
}

func (d database) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// row reads one column of the rows, as text, in order of the key.
func (d database) row(t *testing.T, name, column string) string {
	t.Helper()
	db := d.open(t)
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), `SELECT CAST("`+column+`" AS TEXT) FROM "`+name+`" ORDER BY "id"`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var text sql.NullString
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		all = append(all, text.String)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

const schema = `{"type":"record","namespace":"inventory","name":"Shipment","fields":[
 {"name":"id","type":"string"},
 {"name":"version","type":"long"},
 {"name":"carrier","type":["null","string"],"default":null},
 {"name":"weight","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":3}},
 {"name":"shipped","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
 {"name":"insured","type":"boolean"},
 {"name":"label","type":"bytes"},
 {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"sku","type":"string"}]}}}]}`

func shipment(n int, version int64) *sinks.Attempt {
	id := "s-" + strconv.Itoa(n)
	return sinktest.Attempt("event-"+id+"-"+strconv.FormatInt(version, 10), id, sinktest.Value{
		Name: "inventory.Shipment",
		Record: map[string]any{
			"id": id, "version": version, "carrier": sinktest.CanaryText + " " + strconv.FormatInt(version, 10), "weight": big.NewRat(12345, 1000),
			"shipped": time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), "insured": true, "label": []byte{0, 1},
			"items": []any{map[string]any{"sku": "a", "price": big.NewRat(1, 2)}},
		},
	})
}

func open(tb testing.TB, cfg table.Config) *table.Sink {
	tb.Helper()
	s, err := table.New(cfg, sinks.Deps{Name: "test", Concurrency: 8, Schema: func(name string) (string, error) {
		if name != "inventory.Shipment" {
			return "", errors.New("no such schema")
		}
		return schema, nil
	}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func made(db database, name string) table.Config {
	return table.Config{DSN: db.config, Table: name, Key: []string{"id"}, Version: "version", Create: true}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db database, name string) {
		sinktest.Run(t, sinktest.Suite{
			New: func(tb testing.TB, _ string, _ sinks.Deps) sinks.Sink {
				tb.Helper()
				cfg := made(db, name)
				cfg.OnTombstone = "delete"
				return open(tb, cfg)
			},
			Attempt: func(n int) *sinks.Attempt { return shipment(n, 1) },
			Deletes: true,
		})
	})
}

func deliver(t *testing.T, s sinks.Sink, a *sinks.Attempt) sinks.Receipt {
	t.Helper()
	if err := s.Deliver(t.Context(), a); err != nil {
		t.Fatalf("%s: %v", a.Event.ID, err)
	}
	return a.Receipt
}

func TestTheHigherVersionWins(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db database, name string) {
		s := open(t, made(db, name))
		for _, step := range []struct {
			version   int64
			duplicate bool
		}{{9, false}, {10, false}, {10, true}, {9, true}, {1, true}} {
			if got := deliver(t, s, shipment(1, step.version)); got.Duplicate != step.duplicate {
				t.Errorf("version %d: duplicate %v, want %v", step.version, got.Duplicate, step.duplicate)
			}
		}
		if got := db.row(t, name, "carrier"); got != sinktest.CanaryText+" 10" {
			t.Errorf("carrier %q", got)
		}
	})
}

func TestAMissingTableIsMadeOnceByManyAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db database, name string) {
		var wg sync.WaitGroup
		for n := range 8 {
			s := open(t, made(db, name))
			wg.Go(func() {
				if err := s.Deliver(t.Context(), shipment(n, 1)); err != nil {
					t.Errorf("worker %d: %v", n, err)
				}
			})
		}
		wg.Wait()
		if got := db.row(t, name, "id"); got != "s-0 s-1 s-2 s-3 s-4 s-5 s-6 s-7" {
			t.Errorf("rows %s", got)
		}
	})
}

func TestValuesKeepTheirExactness(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db database, name string) {
		deliver(t, open(t, made(db, name)), shipment(1, 1))
		if got := db.row(t, name, "weight"); got != "12.345" {
			t.Errorf("weight %s", got)
		}
		if got := strings.ReplaceAll(db.row(t, name, "items"), " ", ""); got != `[{"price":"0.5","sku":"a"}]` && got != `[{"sku":"a","price":"0.5"}]` {
			t.Errorf("items %s", got)
		}
		if got := db.row(t, name, "shipped"); !strings.HasPrefix(got, "2026-11-24") {
			t.Errorf("shipped %s", got)
		}
	})
}

// TestTheShipmentsTableOfTheSecondFlow makes the table from the released schema.
func TestTheShipmentsTableOfTheSecondFlow(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "schemas", "warehouse.Shipment", "v1.avsc"))
	if err != nil {
		t.Fatal(err)
	}
	onEach(t, func(t *testing.T, db database, name string) {
		cfg := table.Config{DSN: db.config, Table: name, Key: []string{"shipment_id"}, Version: "version", Create: true}
		s, err := table.New(cfg, sinks.Deps{Schema: func(string) (string, error) { return string(text), nil }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
		deliver(t, s, sinktest.Attempt("e", "s-1", sinktest.Value{Name: "warehouse.Shipment", Record: map[string]any{
			"shipment_id": "s-1", "version": int64(1), "order_id": "o-1", "status": "shipped", "carrier": "DHL", "item_count": int32(2),
			"weight_kg": big.NewRat(12345, 1000), "shipped_at": nil, "updated_at": now, "country": "DE",
		}}))
	})
}

func TestATombstoneDeletesItsRowAlone(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db database, name string) {
		cfg := made(db, name)
		cfg.OnTombstone = "delete"
		s := open(t, cfg)
		deliver(t, s, shipment(1, 1))
		deliver(t, s, shipment(2, 1))
		gone := shipment(1, 2)
		gone.Event.Value = nil
		if deliver(t, s, gone).Duplicate || !deliver(t, s, gone).Duplicate {
			t.Error("the first must delete, the second find nothing")
		}
		if got := db.row(t, name, "id"); got != "s-2" {
			t.Errorf("rows %s", got)
		}
	})
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ddl     string // %s is the table; "" makes none
		cfg     func(*table.Config)
		change  func(map[string]any)
		want    holdfast.Verdict
		class   holdfast.Class
		postgre string // its code there, if it matters
	}{
		"a table that is missing":           {"", nil, nil, holdfast.VerdictDrift, holdfast.ClassContract, "undefined_table"},
		"a column that is missing":          {`("id" text primary key, "version" bigint)`, nil, nil, holdfast.VerdictDrift, holdfast.ClassContract, "42703"},
		"no unique constraint on the key":   {columns(`"id" text`), nil, nil, holdfast.VerdictDrift, holdfast.ClassContract, "42P10"},
		"a constraint that refuses the row": {columns(`"id" text primary key check (length("id") > 100)`), nil, nil, holdfast.VerdictPermanent, holdfast.ClassValidation, "23514"},
		"a key that is null":                {columns(`"id" text primary key`), nil, func(m map[string]any) { m["id"] = nil }, holdfast.VerdictPermanent, holdfast.ClassValidation, ""},
		"a version that is null":            {columns(`"id" text primary key`), nil, func(m map[string]any) { m["version"] = nil }, holdfast.VerdictPermanent, holdfast.ClassValidation, ""},
		"a field that would be SQL":         {columns(`"id" text primary key`), nil, func(m map[string]any) { m[`x") --`] = 1 }, holdfast.VerdictPermanent, holdfast.ClassValidation, ""},
		"a schema nobody knows, to create":  {"", func(c *table.Config) { c.Create, c.Version = true, "nope" }, func(m map[string]any) { m["nope"] = int64(1) }, holdfast.VerdictUnavailable, holdfast.ClassConfig, ""},
	}
	for sentence, tt := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, db database, _ string) {
				name := "v_" + strconv.FormatInt(time.Now().UnixNano(), 36)
				t.Cleanup(func() { db.exec(t, `DROP TABLE IF EXISTS "`+name+`"`) })
				if tt.ddl != "" {
					db.exec(t, `CREATE TABLE "`+name+`" `+tt.ddl)
				}
				cfg := made(db, name)
				cfg.Create = false
				if tt.cfg != nil {
					tt.cfg(&cfg)
				}
				a := shipment(1, 1)
				if v, ok := a.Event.Value.(sinktest.Value); ok && tt.change != nil {
					tt.change(v.Record)
				}
				err := open(t, cfg).Deliver(t.Context(), a)
				got, f := holdfast.Judge(err)
				if got != tt.want || f.Class != tt.class || (db.name == "postgres" && tt.postgre != "" && f.Code != tt.postgre) {
					t.Errorf("got %s %s %s (%v), want %s %s %s", got, f.Class, f.Code, err, tt.want, tt.class, tt.postgre)
				}
				if err != nil && strings.Contains(err.Error(), sinktest.CanaryText) {
					t.Errorf("the verdict repeats the row: %v", err)
				}
			})
		})
	}
}

// columns is a table that fits a shipment but for its first column.
func columns(id string) string {
	return "(" + id + `, "version" bigint, "carrier" text, "weight" text, "shipped" timestamptz, "insured" boolean, "label" bytea, "items" text)`
}

func TestAnUnreachableDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	tests := map[string]holdfast.Secret{
		"nobody listens":   "postgres://u:canarysecret@127.0.0.1:1/db",
		"no such folder":   "sqlite:/nonexistent/folder/x.db",
		"no database file": holdfast.Secret("sqlite:" + t.TempDir()),
	}
	for name, dsn := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := table.Config{DSN: dsn, Table: "x", Key: []string{"id"}, Timeout: 5 * time.Second}
			err := open(t, cfg).Deliver(t.Context(), shipment(1, 1))
			if v, _ := holdfast.Judge(err); v != holdfast.VerdictUnavailable {
				t.Errorf("got %v", err)
			}
			if strings.Contains(err.Error(), "canarysecret") {
				t.Errorf("the verdict shows the password: %v", err)
			}
		})
	}
}

func TestABusyTableIsTriedAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db database, name string) {
		cfg := made(db, name)
		deliver(t, open(t, cfg), shipment(1, 1))
		other := db.open(t)
		defer func() { _ = other.Close() }()
		conn, err := other.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		lock := "BEGIN IMMEDIATE"
		if db.name == "postgres" {
			lock = `BEGIN; LOCK TABLE "` + name + `"`
		}
		if _, err := conn.ExecContext(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
		cfg.Timeout = 200 * time.Millisecond
		verdict, f := holdfast.Judge(open(t, cfg).Deliver(t.Context(), shipment(1, 2)))
		if verdict != holdfast.VerdictTransient || (f.Class != holdfast.ClassConflict && f.Class != holdfast.ClassTimeout) {
			t.Errorf("got %s %s", verdict, f)
		}
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		cfg.Timeout = 0
		deliver(t, open(t, cfg), shipment(1, 2))
	})
}

func TestConfigErrorsNameKeyAndRule(t *testing.T) {
	t.Parallel()
	good := table.Config{DSN: "sqlite:x.db", Table: "public.t", Key: []string{"id"}, Version: "v"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		spoil func(*table.Config)
		want  []string
	}{
		"a database nobody knows":    {func(c *table.Config) { c.DSN = "mysql://secretpassword" }, []string{"dsn", "postgres://"}},
		"no table":                   {func(c *table.Config) { c.Table = "" }, []string{"table"}},
		"a table that is SQL":        {func(c *table.Config) { c.Table = `t"; drop` }, []string{"table", "letters"}},
		"three parts":                {func(c *table.Config) { c.Table = "a.b.c" }, []string{"table"}},
		"no key":                     {func(c *table.Config) { c.Key = nil }, []string{"key", "at least one"}},
		"a key twice":                {func(c *table.Config) { c.Key = []string{"a", "a"} }, []string{"key[1]", "twice"}},
		"a column that is a number":  {func(c *table.Config) { c.Key = []string{"1a"} }, []string{"key[0]", `"1a"`}},
		"a version that is the key":  {func(c *table.Config) { c.Version = "id" }, []string{"version", "key"}},
		"a policy nobody knows":      {func(c *table.Config) { c.OnTombstone = "drop" }, []string{"on_tombstone", `"drop"`, "delete"}},
		"delete with two keys":       {func(c *table.Config) { c.OnTombstone, c.Key = "delete", []string{"a", "b"} }, []string{"on_tombstone", "one column"}},
		"a time-out below nothing":   {func(c *table.Config) { c.Timeout = -1 }, []string{"timeout", "negative"}},
		"a name too long for a base": {func(c *table.Config) { c.Version = strings.Repeat("v", 64) }, []string{"version", "63"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			tt.spoil(&cfg)
			err := cfg.Validate()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "secretpassword") {
				t.Errorf("%q shows the DSN", err)
			}
		})
	}
}
