// Package kafka makes the clients that talk to the broker, with the options
// that franz-go needs to be safe, and publishes records for producers.
package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"holdfast.internal"
)

// Config says how to reach the brokers.
type Config struct {
	Brokers []string // host:port
	TLS     *TLS     // nil: plaintext
	SASL    *SASL    // nil: no authentication
}

// TLS names PEM files; empty ones fall back to the system's roots and no client certificate.
type TLS struct {
	CAFile, CertFile, KeyFile string
}

// SASL is a user of the broker. Mechanism is plain, scram-sha-256 or scram-sha-512.
type SASL struct {
	Mechanism string
	Username  string
	Password  holdfast.Secret
}

// MaxBatch is the largest batch that is read, in bytes after decompression.
const MaxBatch = 8 << 20

// Bounds on what a broker, or a producer through it, can make us hold.
const (
	fetchMaxBytes = 8 << 20
	brokerMaxRead = 16 << 20
)

// ErrMechanism reports a SASL mechanism that is not spoken here.
var ErrMechanism = errors.New("must be plain, scram-sha-256 or scram-sha-512")

// Options returns what every client of cfg's brokers needs: addresses,
// credentials and bounds on memory (franz-go's default decompression limit of
// 1 GiB lets a batch of 82 kB become 608 MiB).
func Options(cfg Config) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("holdfast"),
		kgo.SoftwareNameAndVersion("holdfast", "1"),
		kgo.DisableClientMetrics(),
		kgo.BrokerMaxReadBytes(brokerMaxRead),
		kgo.MaxDecompressBatchBytes(MaxBatch),
		kgo.FetchMaxBytes(fetchMaxBytes),
		kgo.FetchMaxPartitionBytes(1 << 20),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RequiredAcks(kgo.AllISRAcks()),
	}
	if cfg.TLS != nil {
		conf, err := cfg.TLS.config()
		if err != nil {
			return nil, fmt.Errorf("kafka tls: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(conf))
	}
	if cfg.SASL != nil {
		mechanism, err := cfg.SASL.mechanism()
		if err != nil {
			return nil, fmt.Errorf("kafka sasl: %w", err)
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

func (t *TLS) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s: holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func (s *SASL) mechanism() (sasl.Mechanism, error) {
	user, pass := s.Username, s.Password.Reveal()
	switch s.Mechanism {
	case "plain":
		return plain.Auth{User: user, Pass: pass}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: user, Pass: pass}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: user, Pass: pass}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("mechanism %q: %w", s.Mechanism, ErrMechanism)
}

// Session is how long a group waits for a member that is silent, and
// RebalanceTimeout how long for one that has to join again.
const (
	Session          = 8 * time.Second
	RebalanceTimeout = 30 * time.Second
)

// Member are the options of a group member: the classic protocol with short
// sessions, so that a killed worker is back in milliseconds under its static
// name, and no offset that moves by itself.
//
// ConsumeResetOffset must be NoResetOffset: with any other, records lost to
// retention are skipped without an error.
func Member(group, instance string, balancer kgo.GroupBalancer) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(Session),
		kgo.HeartbeatInterval(time.Second),
		kgo.RebalanceTimeout(RebalanceTimeout),
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
	if balancer.IsCooperative() { // the others give all up before they join
		e := &expelled{GroupBalancer: balancer}
		opts = append(opts, kgo.Balancers(e), kgo.WithHooks(e))
	} else {
		opts = append(opts, kgo.Balancers(balancer))
	}
	if instance != "" {
		opts = append(opts, kgo.InstanceID(instance))
	}
	return opts
}
