package main

import "strings"

const rootHelp = `Delivers Kafka events to SaaS APIs and databases, in order, once in effect.

Start with "holdfast dev", which runs everything in one process; other commands
work beside it in the same folder. Data goes to stdout, everything else to stderr.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 findings (a broken configuration, a
plan that differs), 4 Kafka or the registry cannot be reached, 5 done but some
records failed, 6 refused for want of --yes, 130 interrupted.`

const rootExamples = `  holdfast dev                                  # try it
  holdfast lag                                  # what waits, and where
  holdfast dlq list --sink stripe-invoices      # dead letters
  holdfast find cus_0044                        # where is it now?`

// usageTemplate takes away the line that says that a group can be run alone,
// and wraps what is said of flags at 100 columns.
func usageTemplate(cobras string) string {
	return strings.NewReplacer(
		"{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}",
		".FlagUsages ", ".FlagUsagesWrapped 100 ",
	).Replace(cobras)
}
