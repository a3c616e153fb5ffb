package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/topics"
)

// bed is what the contenders run on: brokers, a vendor, and filled topics.
type bed struct {
	kind    string // kafka or kfake
	brokers []string
	vendor  string
	client  *kgo.Client
	admin   *kadm.Client
	profile string // folder for profiles, "" for none
	stamp   string // distinguishes the topics of this run
	made    []string
	helpers []*helper
}

// helper is a server process that ends when its stdin does.
type helper struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func newBed(ctx context.Context, o options, compared []benchCase) (*bed, error) {
	b := &bed{kind: "kafka", profile: o.profile, stamp: strconv.FormatInt(time.Now().Unix(), 36)}
	if err := b.start(ctx, compared); err != nil {
		b.close() //nolint:contextcheck // cleans up also when ctx has ended
		return nil, err
	}
	return b, nil
}

func (b *bed) start(ctx context.Context, compared []benchCase) (err error) {
	if b.vendor, err = b.help(beVendor); err != nil {
		return err
	}
	addrs := os.Getenv("HOLDFAST_TEST_KAFKA")
	if addrs == "" {
		b.kind = "kfake"
		if addrs, err = b.help(beBroker); err != nil {
			return err
		}
	}
	b.brokers = strings.Split(addrs, ",")
	opts, err := kafka.Options(kafka.Config{Brokers: b.brokers})
	if err != nil {
		return err
	}
	if b.client, err = kgo.NewClient(append(opts, kgo.ProducerBatchMaxBytes(1<<20))...); err != nil {
		return err
	}
	b.admin = kadm.NewClient(b.client)
	for _, partitions := range []int32{12, 1} {
		if !slices.ContainsFunc(compared, func(c benchCase) bool { return c.Partitions == partitions }) {
			continue
		}
		if err := b.fill(ctx, partitions); err != nil {
			return fmt.Errorf("fill a topic of %d partitions: %w", partitions, err)
		}
	}
	return nil
}

// help starts a server process and reads its address.
func (b *bed) help(be string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self, "-be", be) //nolint:noctx // this very program; close ends it
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	b.helpers = append(b.helpers, &helper{cmd: cmd, stdin: stdin})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s process: %w", be, err)
	}
	return strings.TrimSpace(addr), nil
}

func (b *bed) close() {
	if b.client != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if b.kind == "kafka" {
			_, _ = b.admin.DeleteTopics(ctx, b.made...)
		}
		cancel()
		b.client.Close()
	}
	for _, h := range b.helpers {
		_ = h.stdin.Close()
		_ = h.cmd.Wait()
	}
}

// sink names the engine's sink, and with it topics and group.
func (b *bed) sink(partitions int32) string { return fmt.Sprintf("bench-%s-%d", b.stamp, partitions) }

func (b *bed) source(partitions int32) string {
	return fmt.Sprintf("bench.%s-%d.v1", b.stamp, partitions)
}

// keys is how many keys the records are spread over: enough that order leaves
// every slot work.
const keys = 4096

// make makes a sink's topics.
func (b *bed) make(ctx context.Context, sink topics.Sink, partitions int32) error {
	changes, err := b.plan(ctx, sink, partitions)
	if err != nil {
		return err
	}
	if err := topics.Apply(ctx, b.client, changes); err != nil {
		return err
	}
	for _, c := range changes {
		if strings.Contains(c.Topic, b.stamp) {
			b.made = append(b.made, c.Topic)
		}
	}
	return nil
}

// fill makes the topics of a partition count and puts records into the source.
func (b *bed) fill(ctx context.Context, partitions int32) error {
	if err := b.make(ctx, topics.Sink{Name: b.sink(partitions), In: b.source(partitions), Tiers: tiers()}, partitions); err != nil {
		return err
	}
	var failed error
	for i := range filled(partitions) {
		key := fmt.Sprintf("cus_%04d", i%keys)
		b.client.Produce(ctx, &kgo.Record{Topic: b.source(partitions), Key: []byte(key), Value: body(i, key)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err // callbacks come one at a time; Flush waits for the last
			}
		})
	}
	return errors.Join(b.client.Flush(ctx), failed)
}

// plan asks again where a broker has not heard yet of a topic that another made.
func (b *bed) plan(ctx context.Context, sink topics.Sink, partitions int32) ([]topics.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		changes, err := topics.Plan(ctx, b.admin, []topics.Sink{sink}, nil, partitions)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return changes, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// body is a record's value, about 350 bytes: what every contender posts.
func body(i int, key string) []byte {
	return fmt.Appendf(nil, `{"id":"inv_%08d","customer":{"id":%q,"name":"Ana Lima","email":"ana.lima@example.com","address":{"line1":"12 Market Street","city":"Lisboa","postal_code":"1100-148","country":"PT"}},"currency":"EUR","issued_at":"2026-11-24T09:00:00.000Z","lines":[{"sku":"SKU-003","description":"Gateway licence","quantity":2,"unit_amount":"129.90"}],"total":"259.80"}`, i, key)
}

// job is what a contender is told.
type job struct {
	Brokers  []string
	Vendor   string // URL
	Source   string
	Sink     string
	InFlight int
	Ordered  bool
	Warm     int
	Records  int
	Profile  string    // path to write profiles beside; "" for none
	Due      time.Time // of what waits in tiers, where all of it is due at once
}

// run lets every contender of a case compete, in turns. What is compared ran
// side by side: ratios are taken within a round, and the median round counts.
func (b *bed) run(ctx context.Context, c benchCase, rounds int) (result, error) {
	var all []result
	began := time.Now()
	for len(all) < max(1, rounds) && (len(all) == 0 || time.Since(began) < enough) {
		r := result{Case: c.Name, Ideal: c.ideal(), spec: c}
		for _, contender := range c.contenders(len(all)) {
			f, err := b.compete(ctx, c, contender)
			if err != nil {
				return r, fmt.Errorf("%s: %w", contender, err)
			}
			fmt.Fprintf(os.Stderr, "%-20s %-7s %8.0f/s %6.1f µs CPU\n", c.Name, contender, f.Rate, f.CPUMicros)
			f.Contender = contender
			r.Figures = append(r.Figures, f)
		}
		r.compare()
		all = append(all, r)
	}
	return median(all), nil
}

// compete runs one contender in a process of its own.
func (b *bed) compete(ctx context.Context, c benchCase, contender string) (figures, error) {
	j := job{
		Brokers: b.brokers, Vendor: b.vendor + "/" + c.Latency.String(), Source: b.source(c.Partitions), Sink: b.sink(c.Partitions),
		InFlight: c.InFlight, Ordered: c.Ordered, Warm: c.warm(), Records: c.Records,
	}
	if b.profile != "" {
		j.Profile = filepath.Join(b.profile, c.Name+"-"+contender)
	}
	if contender == serial && c.Latency > 0 {
		j.Warm = 10 * int(c.Partitions)
	}
	if err := b.forget(ctx, topics.Group(j.Sink)); err != nil {
		return figures{}, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return figures{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return figures{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-be", contender, "-job", string(text))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return figures{}, err
	}
	var f figures
	err = json.Unmarshal(out.Bytes(), &f)
	return f, err
}

// forget deletes a group's offsets, so that the next contender starts at the
// beginning. The last one has left, but the coordinator may not know it yet.
func (b *bed) forget(ctx context.Context, group string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		_, err := b.admin.DeleteGroup(ctx, group)
		if err == nil || errors.Is(err, kerr.GroupIDNotFound) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("forget group %s: %w", group, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tiers are configured in the engine and stay empty.
func tiers() []time.Duration { return []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} }
