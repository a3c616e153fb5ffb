package table

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// Config is what a user writes for kind table.
type Config struct {
	// DSN is postgres://user:password@host/database or sqlite:FILE. PostgreSQL
	// over a network is verified by TLS unless the DSN sets sslmode itself.
	DSN holdfast.Secret `yaml:"dsn"`
	// Table is the table's name, with its schema if need be: public.shipments.
	Table string `yaml:"table"`
	// Key is the list of columns that tell rows apart; the table has a unique
	// constraint on them.
	Key []string `yaml:"key"`
	// Version is a column that only grows: a row is overwritten by a higher one
	// alone. Without it, the default, the last record wins.
	Version string `yaml:"version"`
	// Create makes a missing table from the record's schema.
	Create bool `yaml:"create"`
	// OnTombstone is what a record without a value does: dead_letter, skip,
	// or delete, which removes its row.
	OnTombstone string `yaml:"on_tombstone"`
	// Timeout bounds all statements of an attempt.
	Timeout time.Duration `yaml:"timeout"`
}

const (
	defaultTimeout = 10 * time.Second
	maxIdentifier  = 63 // what PostgreSQL keeps of a name
	deletes        = "delete"
)

// SetDefaults gives what is empty its default, as [New] does.
func (c *Config) SetDefaults() {
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.OnTombstone = cmp.Or(c.OnTombstone, "dead_letter")
}

// Fields lists those that are in key and version: a record without one of them
// makes no row.
func (c Config) Fields() []sinks.Field {
	var named []sinks.Field
	for i, column := range c.Key {
		named = append(named, sinks.Field{Key: fmt.Sprintf("key[%d]", i), Path: column})
	}
	if c.Version != "" {
		named = append(named, sinks.Field{Key: "version", Path: c.Version})
	}
	return named
}

// Validate reports every broken rule by key, value and rule.
func (c Config) Validate() error {
	errs := []error{c.validateDSN(), c.validateTable(), c.validateKey()}
	if c.Version != "" {
		errs = append(errs, identifier("version", c.Version))
		if slices.Contains(c.Key, c.Version) {
			errs = append(errs, fmt.Errorf("version: %q must not be one of key", c.Version))
		}
	}
	if !slices.Contains([]string{"", "dead_letter", "skip", deletes}, c.OnTombstone) {
		errs = append(errs, fmt.Errorf("on_tombstone: %q must be one of dead_letter, skip, delete", c.OnTombstone))
	}
	if c.OnTombstone == deletes && len(c.Key) != 1 {
		errs = append(errs, errors.New("on_tombstone (key): delete needs a key of one column, which is the record's key"))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %s must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

func (c Config) validateDSN() error {
	dsn := c.DSN.Reveal()
	switch {
	case isPostgres(dsn):
		return nil
	case strings.HasPrefix(dsn, sqlitePrefix) && len(dsn) > len(sqlitePrefix):
		return nil
	}
	return errors.New("dsn: must begin with postgres:// or be sqlite:FILE")
}

func (c Config) validateTable() error {
	schema, name, qualified := strings.Cut(c.Table, ".")
	if !qualified {
		return identifier("table", c.Table)
	}
	return errors.Join(identifier("table", schema), identifier("table", name))
}

func (c Config) validateKey() error {
	if len(c.Key) == 0 {
		return errors.New("key: at least one column must be given")
	}
	var errs []error
	for i, column := range c.Key {
		errs = append(errs, identifier(fmt.Sprintf("key[%d]", i), column))
		if slices.Contains(c.Key[:i], column) {
			errs = append(errs, fmt.Errorf("key[%d]: %q is there twice", i, column))
		}
	}
	return errors.Join(errs...)
}

// identifier admits what needs no escape in any database; it is quoted all the
// same, so that reserved words work.
func identifier(key, name string) error {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"
	if name == "" || len(name) > maxIdentifier || strings.Trim(name, chars) != "" || (name[0] >= '0' && name[0] <= '9') {
		return fmt.Errorf("%s: %q must be a name of letters, digits and underscores, %d at most", key, name, maxIdentifier)
	}
	return nil
}

func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}
