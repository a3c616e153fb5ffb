package main

import (
	"github.com/spf13/cobra"

	"holdfast.internal/internal/config"
)

// configCommand prints what editors and other tools want to know of the
// configuration's format.
func configCommand(g *globals) *cobra.Command {
	schema := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the configuration", Args: usage(cobra.NoArgs),
		Long: `Prints what editors need to complete keys and to show what they mean: name the
file in the first line of a configuration, as the example does.`,
		Example: `  holdfast config schema > holdfast.schema.json
  sed -i '1i # yaml-language-server: $schema=./holdfast.schema.json' holdfast.yaml`,
		RunE: func(*cobra.Command, []string) error {
			text, err := config.Schema(known().Sinks)
			if err != nil {
				return err
			}
			_, err = g.out.Write(text)
			return err
		},
	}
	reference := &cobra.Command{
		Use: "reference", Short: "Print what every key of the configuration means, as Markdown", Args: usage(cobra.NoArgs),
		Example: "  holdfast config reference | less",
		RunE: func(*cobra.Command, []string) error {
			text, err := config.Reference(known().Sinks)
			if err != nil {
				return err
			}
			_, err = g.out.Write(text)
			return err
		},
	}
	return group("config", "Look at the configuration's format", reference, schema)
}
