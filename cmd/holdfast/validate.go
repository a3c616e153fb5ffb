package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast.internal/internal/config"
	"holdfast.internal/schemas"
)

func validateCommand(g *globals) *cobra.Command {
	var online bool
	c := &cobra.Command{
		Use:         "validate [PATH]...",
		Short:       "Report every mistake of configuration files, with line and column",
		Annotations: map[string]string{moreFormats: formatGitHub},
		Long: `Reads each file, or every .yaml of a folder, and reports all mistakes at once.
Without a PATH, the configuration that other commands would use. Exits 3 if
there is a mistake; warnings alone exit 0. -o github annotates a pull request.`,
		Example: `  holdfast validate holdfast.yaml
  holdfast validate deploy -o github
  holdfast validate --online`,
		RunE: func(c *cobra.Command, paths []string) error {
			return validate(c.Context(), g, paths, online)
		},
	}
	c.Flags().BoolVar(&online, "online", false, "ask Kafka and the registry too: topics, retention, sizes, group settings, subjects, levels")
	return c
}

func validate(ctx context.Context, g *globals, paths []string, online bool) error {
	files, err := g.configFiles(paths)
	if err != nil {
		return err
	}
	found, failed := []finding{}, false
	for _, file := range files {
		cfg, problems := check(file)
		if cfg != nil && online {
			differences, err := askOnline(ctx, g, cfg)
			if err != nil {
				return err
			}
			problems = append(problems, differences...)
			slices.SortStableFunc(problems, func(a, b finding) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
		}
		for _, p := range problems {
			failed = failed || !p.Warning
		}
		found = append(found, problems...)
	}
	if err := printFindings(g, found); err != nil {
		return err
	}
	if failed {
		return exit(exitFindings, nil)
	}
	g.note("valid: %s", strings.Join(files, ", "))
	return nil
}

// configFiles lists the files that the arguments mean.
func (g *globals) configFiles(paths []string) ([]string, error) {
	if len(paths) == 0 {
		path, err := g.configPath()
		return []string{path}, err
	}
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			files = append(files, path)
			continue
		}
		inside, err := filepath.Glob(filepath.Join(path, "*.y*ml"))
		if err != nil {
			return nil, exit(exitUsage, err)
		}
		files = append(files, inside...)
	}
	if len(files) == 0 {
		return nil, exit(exitUsage, fmt.Errorf("no .yaml file in %s", strings.Join(paths, ", ")))
	}
	return files, nil
}

// check reads a file and says what is wrong with it; the configuration is nil
// if anything but warnings is.
func check(file string) (*config.Config, []finding) {
	cfg, err := config.Load(file, known())
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, []finding{{File: file, Message: err.Error()}}
	}
	if cfg != nil {
		problems = cfg.Warnings
	}
	findings := make([]finding, len(problems))
	for i, p := range problems {
		findings[i] = finding(p)
	}
	return cfg, findings
}

// usedTopics are those of a configuration that have a schema here.
func usedTopics(cfg *config.Config) []schemas.Topic {
	named := map[string]bool{}
	for _, p := range cfg.Processors {
		named[p.In], named[p.Out] = true, true
	}
	for _, s := range cfg.Sinks {
		named[s.In] = true
	}
	for _, topic := range cfg.Outbox.Topics {
		named[topic] = true
	}
	var used []schemas.Topic
	for _, t := range schemas.Topics() {
		if named[t.Name] {
			used = append(used, t)
		}
	}
	return used
}
