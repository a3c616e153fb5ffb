package sinktest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"holdfast.internal"
)

// Page is the table of verdicts in docs/sinks/<kind>.md: by what a row says of
// an answer, such as `409`, or a family of them, such as `4xx`.
type Page map[string]Row

// Row is what the page promises of an answer.
type Row struct {
	Verdict holdfast.Verdict
	Class   holdfast.Class // "" where the event was delivered
}

// ReadPage reads the table whose columns are answer, when, verdict and class.
// Rows whose answer is no code in backticks are for people alone.
func ReadPage(tb testing.TB, file string) Page {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	page := Page{}
	_, table, _ := strings.Cut(string(text), "| answer | when | verdict | class |\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			break
		}
		for answer := range strings.FieldsSeq(cells[1]) {
			if code := strings.Trim(answer, "`"); code != answer {
				page[code] = Row{holdfast.Verdict(strings.TrimSpace(cells[3])), holdfast.Class(strings.TrimSpace(cells[4]))}
			}
		}
	}
	if len(page) < 5 {
		tb.Fatalf("%s has no table of verdicts", file)
	}
	return page
}

// CheckStatuses holds the page against a classifier: every HTTP status from 200
// to 599 is judged as its row says, or that of its family.
func (p Page) CheckStatuses(tb testing.TB, judge func(status int) error) {
	tb.Helper()
	for status := 200; status < 600; status++ {
		row, ok := p[strconv.Itoa(status)]
		if !ok {
			row, ok = p[fmt.Sprintf("%dxx", status/100)]
		}
		verdict, f := holdfast.Judge(judge(status))
		if got := (Row{verdict, f.Class}); !ok || got != row {
			tb.Errorf("%d is judged %v, and the page says %v", status, got, row)
		}
	}
}
