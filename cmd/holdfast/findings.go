package main

import (
	"fmt"
	"strings"
)

// formatGitHub prints findings as annotations of a pull request.
const formatGitHub = "github"

// finding is a mistake at its place in a file, whoever found it.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"` // within a configuration: sinks[0].retry.tiers[1]
	Message string `json:"message"`
	Warning bool   `json:"warning"`
}

// String returns file:line:col: path: message, the form that editors jump to.
func (f finding) String() string {
	parts := []string{f.place(), f.Path, f.Message}
	if f.Warning {
		parts = []string{f.place(), "warning", f.Path, f.Message}
	}
	text := ""
	for _, p := range parts {
		if p != "" && text != "" {
			text += ": "
		}
		text += p
	}
	return text
}

func (f finding) place() string {
	if f.Line == 0 {
		return f.File
	}
	return fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
}

// annotation is GitHub's workflow command. What ends a line or a property is escaped.
func (f finding) annotation() string {
	kind, message := "error", f.Message
	if f.Warning {
		kind = "warning"
	}
	if f.Path != "" {
		message = f.Path + ": " + message
	}
	text := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	return fmt.Sprintf("::%s file=%s,line=%d,col=%d::%s", kind, property.Replace(f.File), max(1, f.Line), max(1, f.Column), text.Replace(message))
}

// printFindings prints one line each where no other format was asked for.
func printFindings(g *globals, findings []finding) error {
	if g.output != formatTable && g.output != formatWide && g.output != formatGitHub {
		return list(g, findings, nil)
	}
	for _, f := range findings {
		var line string
		switch {
		case g.output == formatGitHub:
			line = f.annotation()
		case f.Warning:
			line = g.paint(yellow, f.String())
		default:
			line = g.paint(red, f.String())
		}
		if _, err := fmt.Fprintln(g.out, line); err != nil {
			return err
		}
	}
	return nil
}
