package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"holdfast.internal/internal/config"
)

func validateCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Report every mistake of configuration files, with line and column",
		Args:  usage(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error {
			return validate(g, files)
		},
	}
}

func validate(g *globals, files []string) error {
	problems := []config.Problem{}
	for _, file := range files {
		_, err := config.Load(file, kinds())
		invalid, ok := config.IsInvalid(err)
		switch {
		case ok:
			problems = append(problems, invalid.Problems...)
		case err != nil:
			problems = append(problems, config.Problem{File: file, Line: 1, Column: 1, Message: unreadable(err)})
		}
	}
	err := one(g, problems, func(w io.Writer) error {
		for _, p := range problems {
			if _, err := fmt.Fprintln(w, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && len(problems) > 0 {
		return exit(exitFindings, nil)
	}
	return err
}

func unreadable(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return "cannot be read: " + err.Error()
}
