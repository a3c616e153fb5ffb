package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// What changes something asks first. Mistakes are named before that: who is
// told to pass --yes must not learn after it that the name was wrong.

var (
	errReason = errors.New("--reason is required: say why, for those who come after you")
	errNobody = errors.New("nobody to ask")
)

// canAsk reports whether somebody sits at a terminal.
func (g *globals) canAsk() bool {
	file, ok := g.in.(*os.File)
	return !g.noInput && ok && term.IsTerminal(int(file.Fd()))
}

// checkReason is called before a command does anything. Where --yes is missing
// too, [globals.checkConsent] asks for both, later.
func (g *globals) checkReason(reason string) error {
	if strings.TrimSpace(reason) == "" && (g.yes || g.canAsk()) {
		return exit(exitUsage, errReason)
	}
	return nil
}

// checkConsent refuses where neither --yes was given nor anybody can be asked.
// It is called once all that can be wrong has been looked at.
func (g *globals) checkConsent(reason string) error {
	if g.yes || g.canAsk() {
		return nil
	}
	flags := "--yes"
	if strings.TrimSpace(reason) == "" {
		flags = "--yes and --reason"
	}
	return exit(exitRefused, fmt.Errorf("%w: pass %s", errNobody, flags))
}

// confirm asks on a terminal; without one it refuses unless --yes was given.
func (g *globals) confirm(question string) error {
	if g.yes {
		return nil
	}
	if !g.canAsk() {
		return exit(exitRefused, fmt.Errorf("%s %w: pass --yes", question, errNobody))
	}
	_, _ = fmt.Fprintf(g.err, "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(g.in, &answer)
	if strings.ToLower(answer) != "y" && strings.ToLower(answer) != "yes" {
		return exit(exitRefused, errors.New("not done"))
	}
	return nil
}
