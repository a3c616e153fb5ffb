package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"holdfast.internal/internal/topics"
)

func topicCommand(g *globals) *cobra.Command {
	var partitions int32
	plan := &cobra.Command{
		Use: "plan", Short: "Show what topics are missing or differ", Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return topicPlan(c, g, partitions, false) },
	}
	apply := &cobra.Command{
		Use: "apply", Short: "Make what is missing, to match source topics that exist", Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return topicPlan(c, g, partitions, true) },
	}
	for _, c := range []*cobra.Command{plan, apply} {
		c.Flags().Int32Var(&partitions, "partitions", topics.DefaultPartitions, "partitions of source topics that do not exist")
	}
	return group("topic", "Plan and make topics", apply, plan)
}

func topicPlan(c *cobra.Command, g *globals, partitions int32, apply bool) error {
	ctx := c.Context()
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
	if err := list(g, changes, []column[topics.Change]{
		{"topic", func(c topics.Change) string { return c.Topic }},
		{"action", func(c topics.Change) string { return string(c.Action) }},
		{"partitions", func(c topics.Change) string {
			if c.Partitions == 0 {
				return "-"
			}
			return strconv.Itoa(int(c.Partitions))
		}},
		{"reason", func(c topics.Change) string { return c.Reason }},
	}); err != nil {
		return err
	}
	if !apply {
		if len(changes) > 0 {
			return exit(exitFindings, nil)
		}
		return nil
	}
	if len(changes) == 0 {
		return nil
	}
	if err := g.confirm(fmt.Sprintf("Make these %d changes?", len(changes))); err != nil {
		return err
	}
	return topics.Apply(ctx, conn.admin, changes)
}
