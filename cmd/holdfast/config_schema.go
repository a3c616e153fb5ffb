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
		Example: "  holdfast config schema > holdfast.schema.json     # for editors",
		RunE: func(*cobra.Command, []string) error {
			text, err := configSchema()
			if err != nil {
				return err
			}
			_, err = g.out.Write(text)
			return err
		},
	}
	return group("config", "Look at the configuration's format", schema)
}

func configSchema() ([]byte, error) { return config.Schema(known().Sinks) }
