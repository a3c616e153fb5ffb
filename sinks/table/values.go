package table

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// postgresType gives the column of an Avro type in PostgreSQL.
func postgresType(t avroType) string {
	switch t.logical {
	case "decimal":
		if t.precision > 0 {
			return fmt.Sprintf("numeric(%d,%d)", t.precision, t.scale)
		}
		return "numeric"
	case "timestamp-millis", "timestamp-micros", "timestamp-nanos":
		return "timestamptz"
	case "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos":
		return "timestamp"
	case "date":
		return "date"
	case "time-millis", "time-micros":
		return "text"
	case "uuid":
		return "uuid"
	}
	switch t.name {
	case "int":
		return "integer"
	case "long":
		return "bigint"
	case "float", "double":
		return "double precision"
	case "boolean":
		return "boolean"
	case "string", "enum":
		return "text"
	case "bytes", "fixed":
		return "bytea"
	}
	return "jsonb"
}

// sqliteType gives the column of an Avro type in SQLite. Decimals and times
// are text: SQLite has no type that keeps them exactly.
func sqliteType(t avroType) string {
	if t.logical != "" {
		return "TEXT"
	}
	switch t.name {
	case "int", "long", "boolean":
		return "INTEGER"
	case "float", "double":
		return "REAL"
	case "bytes", "fixed":
		return "BLOB"
	}
	return "TEXT"
}

var (
	errInexact = errors.New("is no finite decimal")
	errKind    = errors.New("is of a kind that has no column")
)

// postgresValue gives decimals as text, which numeric takes exactly, and
// records, lists and maps as JSON.
func postgresValue(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, bool, int, int32, int64, float32, float64, []byte, time.Time:
		return v, nil
	case time.Duration:
		return v.String(), nil
	case *big.Rat:
		return decimal(v)
	case map[string]any, []any:
		return document(v)
	}
	return nil, errKind
}

// sqliteTime has a fixed width, so that text sorts as time does.
const sqliteTime = "2006-01-02T15:04:05.000000000Z"

func sqliteValue(v any) (any, error) {
	if t, ok := v.(time.Time); ok {
		return t.UTC().Format(sqliteTime), nil
	}
	return postgresValue(v)
}

func decimal(r *big.Rat) (any, error) {
	if r == nil {
		return nil, nil
	}
	digits, exact := r.FloatPrec()
	if !exact {
		return nil, errInexact
	}
	return r.FloatString(digits), nil
}

// document writes nested values as the record's plain JSON does.
func document(v any) (any, error) {
	plain, err := plainJSON(v)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(plain)
	return string(text), err
}

func plainJSON(v any) (any, error) {
	switch v := v.(type) {
	case *big.Rat:
		return decimal(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			var err error
			if list[i], err = plainJSON(item); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, item := range v {
			var err error
			if m[name], err = plainJSON(item); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	return v, nil
}
