package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"holdfast.internal"
)

// maxLine is longer than any record that a broker takes by default.
const maxLine = 4 << 20

var (
	errLineTooLong = errors.New("is longer than 4 MiB")
	errNoValue     = errors.New(`"value" must be given (null for a tombstone)`)
	errTombstone   = errors.New("a tombstone needs a key")
	errMore        = errors.New("holds more than one JSON value")
)

// lineReader counts lines, and goes on after one that is too long to hold.
type lineReader struct {
	from   *bufio.Reader
	number int // of the line returned last; 1 is the first
}

func newLineReader(from io.Reader) *lineReader {
	return &lineReader{from: bufio.NewReaderSize(from, 64<<10)}
}

// next returns a line without its end; nil for a blank one, [io.EOF] after the last.
func (l *lineReader) next() ([]byte, error) {
	l.number++
	var line []byte
	tooLong := false
	for {
		part, err := l.from.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxLine; !tooLong {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || (len(line) == 0 && !tooLong)):
			return nil, err
		case tooLong:
			return nil, errLineTooLong
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			return nil, nil
		}
		return line, nil
	}
}

// parseLine is strict: a misspelt "vlaue" must not send an empty record.
func parseLine(text []byte) (inputLine, error) {
	var in inputLine
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, fmt.Errorf(`must be {"key": …, "value": …, "headers": …}: %w`, err)
	}
	if dec.More() {
		return in, errMore
	}
	if in.Value == nil {
		return in, errNoValue
	}
	if string(in.Value) == "null" && in.Key == nil {
		return in, errTombstone
	}
	for _, name := range slices.Sorted(maps.Keys(in.Headers)) {
		in.headers = append(in.headers, holdfast.Header{Name: name, Value: []byte(in.Headers[name])})
	}
	return in, nil
}
