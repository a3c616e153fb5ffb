package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"holdfast.internal/internal/registry"
	"holdfast.internal/schemas"
)

func schemaCommand(g *globals) *cobra.Command {
	check := &cobra.Command{
		Use: "check [DIR]", Short: "Compare every version with all before it, offline", Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return schemaCheck(g, schemas.Files(), "schemas/")
			}
			return schemaCheck(g, os.DirFS(args[0]), args[0]+"/")
		},
	}
	register := &cobra.Command{
		Use: "register", Short: "Register every schema at its level", Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.loadConfig()
			if err != nil {
				return err
			}
			done, err := registerSchemas(c.Context(), cfg)
			if err != nil {
				return err
			}
			return list(g, done, []column[registry.Registered]{
				{"subject", func(r registry.Registered) string { return r.Subject }},
				{"version", func(r registry.Registered) string { return "v" + strconv.Itoa(r.Version) }},
				{"id", func(r registry.Registered) string { return strconv.Itoa(r.ID) }},
				{"level", func(r registry.Registered) string { return r.Level }},
			})
		},
	}
	subjects := &cobra.Command{
		Use: "list", Short: "List the registry's subjects", Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.loadConfig()
			if err != nil {
				return err
			}
			client, err := registry.NewClient(registryConfig(cfg))
			if err != nil {
				return err
			}
			all, err := registry.List(c.Context(), client)
			if err != nil {
				return err
			}
			return list(g, all, []column[registry.Subject]{
				{"subject", func(s registry.Subject) string { return s.Name }},
				{"level", func(s registry.Subject) string { return s.Level }},
				{"versions", func(s registry.Subject) string { return fmt.Sprint(s.Versions) }},
			})
		},
	}
	return group("schema", "Check, register and list schemas", check, register, subjects)
}

func schemaCheck(g *globals, fsys fs.FS, prefix string) error {
	findings, err := schemas.Check(fsys, prefix)
	if err != nil {
		return exit(exitFindings, err)
	}
	if findings == nil {
		findings = []schemas.Finding{}
	}
	if err := one(g, findings, func(w io.Writer) error {
		for _, f := range findings {
			if _, err := fmt.Fprintln(w, f); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if len(findings) > 0 {
		return exit(exitFindings, nil)
	}
	return nil
}
