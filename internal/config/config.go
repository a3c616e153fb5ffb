// Package config reads the one YAML file that says what holdfast moves where.
//
// Reading is strict, and every mistake is reported at once, at its line and
// column: the file is parsed, references such as ${env:NAME} are expanded in
// its scalars, the result is held against a JSON Schema that is generated from
// the structs of this package and of the sinks' kinds, decoded over the
// defaults, and then checked for what a schema cannot say.
//
// holdfast.schema.json is that schema, for editors.
package config

import (
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// Config is the whole file. [Load] makes one.
type Config struct {
	// Version is that of the file's format: 1.
	Version int `yaml:"version" jsonschema:"required,enum=1"`
	// Kafka says how to reach the brokers.
	Kafka Kafka `yaml:"kafka" jsonschema:"required"`
	// SchemaRegistry says how to reach the registry.
	SchemaRegistry SchemaRegistry `yaml:"schema_registry" jsonschema:"required"`
	// Processors are the transforms that run, each at most once.
	Processors []Processor `yaml:"processors"`
	// Sinks are the deliveries.
	Sinks []Sink `yaml:"sinks"`
	// Outbox is the table that applications write events into, in their own transactions.
	Outbox Outbox `yaml:"outbox"`
	// HTTP is where metrics and health checks answer.
	HTTP HTTP `yaml:"http"`
	// Egress says which destinations sinks may reach: https on public addresses, unless it allows more.
	Egress sinks.Egress `yaml:"egress"`
	// Alerts says whom to tell.
	Alerts Alerts `yaml:"alerts"`

	// File is where the configuration was read from.
	File string `yaml:"-"`
	// Warnings are what an operator should know and what does not stop anything.
	Warnings Problems `yaml:"-"`

	places *document
}

// Place returns where the value of a path such as sinks[0].retry.tiers[1]
// stands in the file, or the nearest one around it: line and column, from 1.
func (c *Config) Place(path string) (line, column int) {
	at := c.places.where(path)
	return at.line, at.column
}

// Kafka says how to reach the brokers.
type Kafka struct {
	// Brokers are the addresses to ask first, each host:port.
	Brokers []string `yaml:"brokers" jsonschema:"required,minItems=1"`
	// GroupProtocol is how the workers of a sink divide partitions: classic (a
	// killed worker's share stands still for 8 s at most) or consumer
	// (KIP-848, Kafka 4; for as long as the broker's group.consumer.session.timeout.ms
	// says, 45 s by default). All workers of a sink stop before it changes.
	GroupProtocol string `yaml:"group_protocol" jsonschema:"enum=classic,enum=consumer"`
	// TLS encrypts; leave it out for plaintext.
	TLS *TLS `yaml:"tls"`
	// SASL authenticates; leave it out for none.
	SASL *SASL `yaml:"sasl"`
}

// TLS names PEM files. {} alone uses the system's roots and no client
// certificate. Relative paths start at the configuration file.
type TLS struct {
	// CAFile holds the authorities that brokers are verified by; those of the system by default.
	CAFile string `yaml:"ca_file"`
	// CertFile holds the certificate that the brokers know this program by; none by default.
	CertFile string `yaml:"cert_file"`
	// KeyFile holds the private key of cert_file.
	KeyFile string `yaml:"key_file"`
}

// SASL is a user of the brokers.
type SASL struct {
	// Mechanism is how the password is shown to the brokers; plain sends it as it is, so only over TLS.
	Mechanism string `yaml:"mechanism" jsonschema:"required,enum=plain,enum=scram-sha-256,enum=scram-sha-512"`
	// Username is the user's name.
	Username string `yaml:"username" jsonschema:"required"`
	// Password is the user's password.
	Password holdfast.Secret `yaml:"password"`
}

// SchemaRegistry says how to reach the registry.
type SchemaRegistry struct {
	// URL is the registry's, with a base path if need be, such as http://registry:8080/apis/ccompat/v7.
	URL string `yaml:"url" jsonschema:"required"`
	// Compatibility is the level of subjects that schemas/ says nothing about.
	Compatibility string `yaml:"compatibility" jsonschema:"enum=full_transitive,enum=backward_transitive,enum=forward_transitive,enum=full,enum=backward,enum=forward,enum=none"`
	// Username is for basic authentication; none by default.
	Username string `yaml:"username"`
	// Password is that of username.
	Password holdfast.Secret `yaml:"password"`
}

// Processor connects a transform that is compiled in to its topics.
type Processor struct {
	// Name picks the transform, and names dlq.NAME and redrive.NAME.
	Name string `yaml:"name" jsonschema:"required"`
	// In is the topic read.
	In string `yaml:"in" jsonschema:"required"`
	// Out is the topic written.
	Out string `yaml:"out" jsonschema:"required"`
}

// Outbox is a table that applications write in their own transactions.
type Outbox struct {
	// Kind is the database's; without it there is no outbox.
	Kind string `yaml:"kind" jsonschema:"enum=sqlite,enum=postgres"`
	// DSN is sqlite:FILE or postgres://user:password@host/database.
	DSN holdfast.Secret `yaml:"dsn"`
	// Table is the table's name, with its schema if need be.
	Table string `yaml:"table"`
	// Topics maps names that applications use in aggregatetype to topics: {invoice: crm.invoice.v1}.
	Topics map[string]string `yaml:"topics"`
	// Keep is how long published rows stay, such as 24h; 0, the default, deletes them at once.
	Keep time.Duration `yaml:"keep"`
}

// HTTP is where metrics and health checks answer.
type HTTP struct {
	// Listen is host:port; port 0 picks a free one.
	Listen string `yaml:"listen"`
}

// Alerts says whom to tell.
type Alerts struct {
	// Slack is an incoming webhook.
	Slack Slack `yaml:"slack"`
}

// Slack is an incoming webhook. Its URL is a password.
type Slack struct {
	// URL is the webhook's, https alone.
	URL holdfast.Secret `yaml:"url"`
	// Channel is where it writes, such as #oncall; the webhook's own by default.
	Channel string `yaml:"channel"`
}

// Words of kafka.group_protocol.
const (
	ClassicProtocol  = "classic"
	ConsumerProtocol = "consumer"
)

// Defaults of what a file leaves out.
const (
	DefaultTable  = "outbox"
	DefaultListen = "127.0.0.1:8080"
	defaultLevel  = "full_transitive"
)

// defaults is what a file is decoded over.
func defaults() Config {
	return Config{
		Kafka:          Kafka{GroupProtocol: ClassicProtocol},
		SchemaRegistry: SchemaRegistry{Compatibility: defaultLevel},
		Outbox:         Outbox{Table: DefaultTable},
		HTTP:           HTTP{Listen: DefaultListen},
	}
}
