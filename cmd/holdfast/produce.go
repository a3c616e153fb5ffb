package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"holdfast.internal"
	"holdfast.internal/internal/config"
	"holdfast.internal/internal/example"
	"holdfast.internal/internal/kafka"
	"holdfast.internal/producers"
	"holdfast.internal/schemas"
)

// produceBatch is how many lines are read before they are sent.
const produceBatch = 500

func produceCommand(g *globals) *cobra.Command {
	var examples int
	var seed uint64
	var file string
	c := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Send JSON lines, checked against the topic's schema",
		Long: `Each line of stdin or --file is {"key": "...", "value": {...}, "headers": {"name": "text"}};
key and headers may be left out, and a value of null is a tombstone. Every line is
checked: those that break a rule are named with all their mistakes and not sent,
the others are. Exits 5 if some were refused.`,
		Example: `  holdfast produce crm.invoice.v1 < lines.jsonl
  holdfast produce crm.invoice.v1 --example 1 --seed 7      # what a line looks like
  holdfast produce crm.invoice.v1 --example 3 | holdfast produce crm.invoice.v1`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := knownTopic(args[0]); err != nil {
				return err
			}
			if c.Flags().Changed("example") {
				return printExamples(g, args[0], examples, seed)
			}
			return g.produceFrom(c.Context(), args[0], file)
		},
	}
	c.Flags().IntVar(&examples, "example", 0, "print `N` valid, realistic lines and send nothing")
	c.Flags().Uint64Var(&seed, "seed", 1, "`N` that the examples follow from: the same seed makes the same lines")
	c.Flags().StringVar(&file, "file", "", "read `FILE` instead of stdin")
	return c
}

// knownTopic refuses a topic without a schema before anything is read.
func knownTopic(topic string) error {
	if _, ok := schemas.TopicNamed(topic); ok {
		return nil
	}
	names := make([]string, 0, len(schemas.Topics()))
	for _, t := range schemas.Topics() {
		names = append(names, t.Name)
	}
	return exit(exitUsage, fmt.Errorf("no schema is compiled in for topic %q%s; there are %s",
		topic, config.DidYouMean(topic, names), strings.Join(names, ", ")))
}

func printExamples(g *globals, topic string, n int, seed uint64) error {
	if n < 0 {
		return exit(exitUsage, fmt.Errorf("--example %d must not be negative", n))
	}
	lines, err := example.Lines(topic, n, seed)
	if err != nil {
		return exit(exitUsage, err)
	}
	w := bufio.NewWriter(g.out)
	for _, l := range lines {
		if err := writeJSON(w, l); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (g *globals) produceFrom(ctx context.Context, topic, file string) error {
	from := g.in
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return exit(exitUsage, err)
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	if file == "" && g.canAsk() {
		g.note("reading lines from the terminal; Ctrl-D ends them")
	}
	start, cancel := g.bounded(ctx)
	defer cancel()
	conn, err := g.connect(start)
	if err != nil {
		return err
	}
	defer conn.close()
	p := production{g: g, topic: topic, encoder: conn.serde, publisher: kafka.NewPublisher(conn.client)}
	err = errors.Join(p.all(ctx, from), p.flush(ctx))
	if shown := one(g, p.done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "sent %d, refused %d\n", p.done.Sent, p.done.Refused)
		return err
	}); shown != nil {
		return shown
	}
	if err == nil && p.done.Refused > 0 {
		return exit(exitPartly, nil)
	}
	return err
}

// production sends lines, a batch at a time.
type production struct {
	g         *globals
	topic     string
	encoder   producers.Encoder
	publisher producers.Publisher

	done struct {
		Sent    int `json:"sent"`
		Refused int `json:"refused"`
	}
	batch []producers.Record
	lines []int // the batch's line numbers
}

// all reads every line. It stops at what the next line would meet too: a
// registry or a broker that does not answer.
func (p *production) all(ctx context.Context, from io.Reader) error {
	lines := newLineReader(from)
	for {
		text, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && text == nil {
			continue
		}
		if err == nil {
			err = p.add(ctx, lines.number, text)
		} else if !errors.Is(err, errLineTooLong) {
			return err
		}
		if verdict, _ := holdfast.Judge(err); verdict == holdfast.VerdictUnavailable {
			return exit(exitUnreachable, err)
		}
		if err != nil {
			p.refuse(lines.number, err)
			continue
		}
		if len(p.batch) == produceBatch {
			if err := p.flush(ctx); err != nil {
				return err
			}
		}
	}
}

func (p *production) refuse(number int, err error) {
	p.done.Refused++
	for rule := range strings.SplitSeq(err.Error(), "\n") {
		_, _ = fmt.Fprintf(p.g.err, "line %d: %s\n", number, printable(rule))
	}
}

func (p *production) add(ctx context.Context, number int, text []byte) error {
	in, err := parseLine(text)
	if err != nil {
		return err
	}
	rec := producers.Record{Topic: p.topic, Headers: in.headers}
	if in.Key != nil {
		rec.Key = []byte(*in.Key)
	}
	if string(in.Value) != "null" {
		if rec.Value, err = p.encoder.EncodeJSON(ctx, p.topic, in.Value); err != nil {
			return cause(err)
		}
	}
	p.batch, p.lines = append(p.batch, rec), append(p.lines, number)
	return nil
}

// cause takes the class off a refusal: the person reads rules, not verdicts.
func cause(err error) error {
	if p, ok := errors.AsType[*holdfast.PermanentError](err); ok {
		return p.Err
	}
	return err
}

// flush sends the batch. A record that the broker itself refuses is counted
// with its line; any other error ends the work.
func (p *production) flush(ctx context.Context) error {
	if len(p.batch) == 0 {
		return nil
	}
	ctx, cancel := p.g.bounded(ctx)
	defer cancel()
	var stop error
	for i, err := range p.publisher.Publish(ctx, p.batch) {
		switch {
		case err == nil:
			p.done.Sent++
		case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.InvalidRecord):
			p.refuse(p.lines[i], err)
		case stop == nil:
			stop = fmt.Errorf("line %d was not sent: %w", p.lines[i], err)
		}
	}
	p.batch, p.lines = p.batch[:0], p.lines[:0]
	if errors.Is(stop, kerr.UnknownTopicOrPartition) {
		stop = fmt.Errorf("%w; run `holdfast topic apply`", stop)
	}
	return stop
}

// inputLine is one line of produce.
type inputLine struct {
	Key     *string           `json:"key"`
	Value   json.RawMessage   `json:"value"`
	Headers map[string]string `json:"headers"`

	headers []holdfast.Header // sorted by name
}
