package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// explain prints what runs where and what to try.
func (d *devStack) explain(w io.Writer) {
	_, _ = fmt.Fprintf(w, `holdfast dev, data in %[1]s
  Kafka      %[2]s
  registry   %[3]s
  Stripe     %[4]s      (simulated: /_sim/applied shows what it holds)
  metrics    %[5]s/metrics
  outbox     %[6]s
try, in another terminal:
%[7]s  %[8]s lag
  %[8]s produce crm.invoice.v1 --example 3 | %[8]s produce crm.invoice.v1
  curl -s %[4]s/_sim/applied | tail -3
  curl -s %[4]s/_sim/faults -d '{"kinds":["402"],"rate":1,"for":"10s"}'   # the vendor refuses invoices: dead letters
  %[8]s dlq list --sink stripe-invoices
  curl -s %[4]s/_sim/faults -d '{"kinds":["503"],"rate":1,"for":"30s"}'   # the vendor is down: records wait
`, d.dir, d.broker.Addrs()[0], d.registry.URL(), d.vendor.URL(), d.app.url, d.cfg.Outbox.DSN.Reveal(), d.hint(), calledAs(os.Args[0]))
}

// hint says how other commands find this dev: by themselves in its folder, else
// by being told.
func (d *devStack) hint() string {
	if here, err := filepath.Abs(defaultDataDir); err == nil && d.dir == here {
		return ""
	}
	return fmt.Sprintf("  export HOLDFAST_CONFIG=%q   # or --config with each command\n", d.dir)
}

// calledAs is what to type for this program, by its first argument: the binary
// of a go run cannot be typed.
func calledAs(program string) string {
	switch {
	case strings.Contains(program, "go-build"):
		return "go run ./cmd/holdfast"
	case program == "":
		return "holdfast"
	}
	return program
}
