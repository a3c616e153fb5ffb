package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"holdfast.internal/internal/growth"
	"holdfast.internal/internal/topics"
)

func topicCommand(g *globals) *cobra.Command {
	var partitions int32
	show := &cobra.Command{
		Use: "list", Short: "List the topics of the configuration", Args: usage(cobra.NoArgs),
		Example: "  holdfast topic list",
		RunE:    func(c *cobra.Command, _ []string) error { return topicList(c, g) },
	}
	plan := &cobra.Command{
		Use: "plan", Short: "Show what topics are missing or differ; exits 3 if any", Args: usage(cobra.NoArgs),
		Long: `Compares the topics of the configuration with those of the cluster and changes
nothing. Exits 3 if there is something for topic apply to do, so that a script
can ask; 0 if all topics are as they should be.`,
		Example: `  holdfast topic plan --config holdfast.yaml
  holdfast topic plan -q || holdfast topic apply --yes`,
		RunE: func(c *cobra.Command, _ []string) error { return topicPlan(c, g, partitions) },
	}
	apply := &cobra.Command{
		Use: "apply", Short: "Make what is missing, to match source topics that exist", Args: usage(cobra.NoArgs),
		Long: `Does what topic plan shows, after asking: it makes topics, adds partitions and mends
settings. It deletes nothing. Exits 0 if there is nothing to do.`,
		Example: "  holdfast topic apply --config holdfast.yaml --yes",
		RunE:    func(c *cobra.Command, _ []string) error { return topicApply(c, g, partitions) },
	}
	for _, c := range []*cobra.Command{plan, apply} {
		c.Flags().Int32Var(&partitions, "partitions", topics.DefaultPartitions, "`N` partitions for source topics that do not exist")
	}
	return group("topic", "Plan, make and list topics", apply, show, plan)
}

func topicPlan(c *cobra.Command, g *globals, partitions int32) error {
	return g.withTopics(c, partitions, func(_ *connection, changes []topics.Change) error {
		if err := printChanges(g, changes); err != nil || len(changes) == 0 {
			return err
		}
		g.note("%s to make: holdfast topic apply", count(len(changes), "change"))
		return exit(exitFindings, nil)
	})
}

func topicApply(c *cobra.Command, g *globals, partitions int32) error {
	return g.withTopics(c, partitions, func(conn *connection, changes []topics.Change) error {
		if len(changes) > 0 {
			if err := g.confirm(fmt.Sprintf("Make %s to topics (holdfast topic plan shows them)?", count(len(changes), "change"))); err != nil {
				return err
			}
		}
		ctx, cancel := g.bounded(c.Context())
		defer cancel()
		if err := markGrowth(ctx, conn, changes); err != nil {
			return err
		}
		if err := topics.Apply(ctx, conn.client, changes); err != nil {
			return err
		}
		return printChanges(g, changes)
	})
}

// markGrowth remembers where the sources stood whose followers are about to
// grow: where no worker runs, nobody else has.
func markGrowth(ctx context.Context, conn *connection, changes []topics.Change) error {
	if !slices.ContainsFunc(changes, func(c topics.Change) bool { return c.Action == topics.Grow }) {
		return nil
	}
	for _, s := range conn.cfg.Sinks {
		if err := growth.Mark(ctx, conn.client, s.Name, s.In); err != nil {
			return err
		}
	}
	return nil
}

// withTopics hands the plan of the configured topics to do.
func (g *globals) withTopics(c *cobra.Command, partitions int32, do func(*connection, []topics.Change) error) error {
	if partitions < 1 {
		return exit(exitUsage, fmt.Errorf("--partitions %d must be at least 1", partitions))
	}
	ctx, cancel := g.bounded(c.Context())
	defer cancel()
	conn, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	sinks, processors := planned(conn.cfg)
	changes, err := topics.Plan(ctx, conn.admin, sinks, processors, partitions)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		g.note("all topics are as they should be")
	}
	return do(conn, changes)
}

func printChanges(g *globals, changes []topics.Change) error {
	return list(g, changes, []column[topics.Change]{
		{"topic", func(c topics.Change) string { return c.Topic }},
		{"action", func(c topics.Change) string { return string(c.Action) }},
		{"partitions", func(c topics.Change) string {
			if c.Partitions == 0 {
				return "-"
			}
			return strconv.Itoa(int(c.Partitions))
		}},
		{"reason", func(c topics.Change) string { return c.Reason }},
	}, column[topics.Change]{"config", func(c topics.Change) string { return fmt.Sprint(c.Config) }})
}

func topicList(c *cobra.Command, g *globals) error {
	ctx, cancel := g.bounded(c.Context())
	defer cancel()
	conn, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	sinks, processors := planned(conn.cfg)
	all, err := topics.List(ctx, conn.admin, sinks, processors)
	if err != nil {
		return err
	}
	count := func(t topics.Topic, n int64) string {
		if !t.Exists {
			return "-"
		}
		return strconv.FormatInt(n, 10)
	}
	return list(g, all, []column[topics.Topic]{
		{"topic", func(t topics.Topic) string { return t.Topic }},
		{"partitions", func(t topics.Topic) string { return count(t, int64(t.Partitions)) }},
		{"records", func(t topics.Topic) string { return count(t, t.Records) }},
		{"purpose", func(t topics.Topic) string { return t.Purpose }},
	}, column[topics.Topic]{"replicas", func(t topics.Topic) string { return count(t, int64(t.Replicas)) }})
}
