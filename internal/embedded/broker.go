// Package embedded runs Kafka and a Schema Registry inside this process, for
// `holdfast dev` and fast tests: franz-go's kfake and srfake, with data on
// disk, so that a restart keeps everything. Production runs real ones.
package embedded

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"
)

// BrokerOptions say where the broker listens and keeps its data.
type BrokerOptions struct {
	// Port on loopback; 0 picks a free one.
	Port int
	// DataDir keeps topics, records and offsets over restarts; "" keeps them in memory.
	DataDir string
}

// Broker is an embedded Kafka broker on loopback.
type Broker struct{ cluster *kfake.Cluster }

// StartBroker starts the broker.
func StartBroker(o BrokerOptions) (*Broker, error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(12),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return net.Listen(network, net.JoinHostPort("127.0.0.1", port)) //nolint:noctx // binding loopback does not wait
		}),
	}
	if o.Port != 0 {
		opts = append(opts, kfake.Ports(o.Port))
	}
	if o.DataDir != "" {
		if err := os.MkdirAll(o.DataDir, 0o750); err != nil {
			return nil, fmt.Errorf("embedded broker: %w", err)
		}
		opts = append(opts, kfake.DataDir(o.DataDir))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("embedded broker on port %s: %w", strconv.Itoa(o.Port), err)
	}
	return &Broker{cluster: cluster}, nil
}

// Addrs are the addresses to connect to, host:port.
func (b *Broker) Addrs() []string { return b.cluster.ListenAddrs() }

// Close stops the broker and writes what it holds in memory only.
func (b *Broker) Close() { b.cluster.Close() }
