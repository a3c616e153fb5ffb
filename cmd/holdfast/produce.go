package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast.internal"
	"holdfast.internal/internal/example"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/producers"
)

// Bounds of one call of produce.
const (
	produceBatch = 500
	maxLine      = 4 << 20
)

func produceCommand(g *globals) *cobra.Command {
	var examples int
	var seed uint64
	c := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Send JSON lines from stdin, checked against the topic's schema",
		Long: `Each line is {"key": "...", "value": {...}, "headers": {"name": "text"}}. All lines
are checked; those that break a rule are named by line and not sent, the rest are.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("example") {
				return printExamples(g, args[0], examples, seed)
			}
			return produce(c.Context(), g, args[0])
		},
	}
	c.Flags().IntVar(&examples, "example", 1, "print `N` valid, realistic lines and send nothing")
	c.Flags().Uint64Var(&seed, "seed", 1, "of the examples")
	return c
}

func printExamples(g *globals, topic string, n int, seed uint64) error {
	lines, err := example.Lines(topic, n, seed)
	if err != nil {
		return exit(exitUsage, err)
	}
	w := bufio.NewWriter(g.out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return w.Flush()
}

// inputLine is one line of produce.
type inputLine struct {
	Key     *string           `json:"key"`
	Value   json.RawMessage   `json:"value"`
	Headers map[string]string `json:"headers"`
}

type produced struct {
	Sent    int `json:"sent"`
	Refused int `json:"refused"`
}

func produce(ctx context.Context, g *globals, topic string) error {
	conn, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	publisher := kafka.NewPublisher(conn.client)
	var (
		done  produced
		batch []producers.Record
	)
	flush := func() error {
		for _, err := range publisher.Publish(ctx, batch) {
			if err != nil {
				return fmt.Errorf("after %d lines: %w", done.Sent, err)
			}
			done.Sent++
		}
		batch = batch[:0]
		return nil
	}
	scanner := bufio.NewScanner(g.in)
	scanner.Buffer(nil, maxLine)
	for number := 1; scanner.Scan(); number++ {
		if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
			continue
		}
		rec, err := readLine(ctx, conn, topic, scanner.Bytes())
		if verdict, _ := holdfast.Judge(err); verdict == holdfast.VerdictUnavailable {
			return exit(exitUnreachable, err)
		}
		if err != nil {
			done.Refused++
			for rule := range strings.SplitSeq(err.Error(), "\n") {
				_, _ = fmt.Fprintf(g.err, "line %d: %s\n", number, printable(rule))
			}
			continue
		}
		if batch = append(batch, rec); len(batch) == produceBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(scanner.Err(), flush()); err != nil {
		return err
	}
	if err := one(g, done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "sent %d, refused %d\n", done.Sent, done.Refused)
		return err
	}); err != nil {
		return err
	}
	if done.Refused > 0 {
		return exit(exitPartly, nil)
	}
	return nil
}

func readLine(ctx context.Context, conn *connection, topic string, text []byte) (producers.Record, error) {
	var in inputLine
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return producers.Record{}, fmt.Errorf(`not {"key","value","headers"}: %w`, err)
	}
	value, err := conn.serde.EncodeJSON(ctx, topic, in.Value)
	if err != nil {
		var p *holdfast.PermanentError
		if errors.As(err, &p) {
			return producers.Record{}, p.Err
		}
		return producers.Record{}, err
	}
	rec := producers.Record{Topic: topic, Value: value}
	if in.Key != nil {
		rec.Key = []byte(*in.Key)
	}
	names := make([]string, 0, len(in.Headers))
	for name := range in.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		rec.Headers = append(rec.Headers, holdfast.Header{Name: name, Value: []byte(in.Headers[name])})
	}
	return rec, nil
}
