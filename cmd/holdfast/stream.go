package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// stream prints rows that may be very many: json and jsonl as they come, the
// other formats once all are there.
type stream[T any] struct {
	g     *globals
	rows  []T
	count int
}

func newStream[T any](g *globals) *stream[T] { return &stream[T]{g: g} }

func (s *stream[T]) add(row T) error {
	s.count++
	switch s.g.output {
	case formatJSONL:
		return writeJSON(s.g.out, row)
	case formatJSON:
		before := ","
		if s.count == 1 {
			before = "["
		}
		if _, err := io.WriteString(s.g.out, before); err != nil {
			return err
		}
		return writeJSON(s.g.out, row)
	}
	s.rows = append(s.rows, row)
	return nil
}

// end completes the output, after a failure too: what was printed stays valid.
func (s *stream[T]) end(columns []column[T], further ...column[T]) error {
	switch s.g.output {
	case formatJSONL:
		return nil
	case formatJSON:
		text := "]\n"
		if s.count == 0 {
			text = "[]\n"
		}
		_, err := io.WriteString(s.g.out, text)
		return err
	}
	return list(s.g, s.rows, columns, further...)
}

// indent writes JSON for people.
func indent(w io.Writer, text json.RawMessage) error {
	pretty, err := json.MarshalIndent(text, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", pretty)
	return err
}
