package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/sr"

	"holdfast.internal/internal/registry"
	"holdfast.internal/schemas"
)

func schemaCommand(g *globals) *cobra.Command {
	check := &cobra.Command{
		Use: "check [DIR]", Short: "Compare every version with all before it, offline", Args: usage(cobra.MaximumNArgs(1)),
		Annotations: map[string]string{moreFormats: formatGitHub},
		Long: `Compares every version of every schema with all before it, at the level of its
subject, and needs no registry. DIR is a schemas folder; without it, what is
compiled in is checked. Exits 3 if a rule is broken.`,
		Example: "  holdfast schema check schemas\n  holdfast schema check -o github",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return schemaCheck(g, schemas.Files(), "schemas/")
			}
			return schemaCheck(g, os.DirFS(args[0]), strings.TrimSuffix(args[0], "/")+"/")
		},
	}
	register := &cobra.Command{
		Use: "register", Short: "Register every schema at its level", Args: usage(cobra.NoArgs),
		Example: "  holdfast schema register --config holdfast.yaml",
		RunE:    func(c *cobra.Command, _ []string) error { return schemaRegister(c, g) },
	}
	subjects := &cobra.Command{
		Use: "list", Short: "List the registry's subjects", Args: usage(cobra.NoArgs),
		Example: "  holdfast schema list",
		RunE:    func(c *cobra.Command, _ []string) error { return schemaList(c, g) },
	}
	var version int
	show := &cobra.Command{
		Use: "show SUBJECT", Short: "Print a schema as the registry has it", Args: usage(cobra.ExactArgs(1)),
		Example: "  holdfast schema show crm.invoice.v1-value --version 1",
		RunE:    func(c *cobra.Command, args []string) error { return schemaShow(c, g, args[0], version) },
	}
	show.Flags().IntVar(&version, "version", -1, "the registry's version `N`; the newest by default")
	return group("schema", "Check, register and list schemas", check, subjects, register, show)
}

func schemaCheck(g *globals, fsys fs.FS, prefix string) error {
	findings, err := schemas.Check(fsys, prefix)
	if err != nil {
		return exit(exitFindings, err)
	}
	rows := make([]finding, len(findings))
	for i, f := range findings {
		rows[i] = finding{File: f.Path, Line: f.Line, Column: f.Column, Message: f.Message}
	}
	if err := printFindings(g, rows); err != nil {
		return err
	}
	if len(rows) > 0 {
		return exit(exitFindings, nil)
	}
	return nil
}

// withRegistry makes a client of the configured registry for do.
func (g *globals) withRegistry(c *cobra.Command, do func(context.Context, *sr.Client) error) error {
	cfg, err := g.loadConfig()
	if err != nil {
		return err
	}
	client, err := registry.NewClient(registryConfig(cfg))
	if err != nil {
		return err
	}
	ctx, cancel := g.bounded(c.Context())
	defer cancel()
	return registryError(do(ctx, client))
}

func schemaRegister(c *cobra.Command, g *globals) error {
	return g.withRegistry(c, func(ctx context.Context, client *sr.Client) error {
		done, err := registry.Register(ctx, client, schemas.Files(), schemas.Topics())
		if err != nil {
			return err
		}
		return list(g, done, []column[registry.Registered]{
			{"subject", func(r registry.Registered) string { return r.Subject }},
			{"version", func(r registry.Registered) string { return "v" + strconv.Itoa(r.Version) }},
			{"id", func(r registry.Registered) string { return strconv.Itoa(r.ID) }},
			{"level", func(r registry.Registered) string { return r.Level }},
		})
	})
}

func schemaList(c *cobra.Command, g *globals) error {
	return g.withRegistry(c, func(ctx context.Context, client *sr.Client) error {
		all, err := registry.List(ctx, client)
		if err != nil {
			return err
		}
		return list(g, all, []column[registry.Subject]{
			{"subject", func(s registry.Subject) string { return s.Name }},
			{"level", func(s registry.Subject) string { return s.Level }},
			{"versions", func(s registry.Subject) string { return strings.Trim(fmt.Sprint(s.Versions), "[]") }},
		})
	})
}

// shownSchema is a schema as the registry has it.
type shownSchema struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
	Schema  string `json:"schema"`
}

func schemaShow(c *cobra.Command, g *globals, subject string, version int) error {
	return g.withRegistry(c, func(ctx context.Context, client *sr.Client) error {
		s, err := registry.Get(ctx, client, subject, version)
		if errors.Is(err, registry.ErrNoSubject) {
			return fmt.Errorf("%w: holdfast schema list shows what it has", err)
		}
		if err != nil {
			return err
		}
		return one(g, shownSchema{Subject: s.Subject, Version: s.Version, ID: s.ID, Schema: s.Schema.Schema}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, s.Schema.Schema)
			return err
		})
	})
}

// registryError tells a registry that refuses (findings) or forbids from one
// that does not answer.
func registryError(err error) error {
	var answer *sr.ResponseError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exit(exitUnreachable, err)
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return exit(exitFindings, err)
	}
	return err
}
