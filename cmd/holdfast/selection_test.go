package main

import (
	"strings"
	"testing"
)

// TestSelection: what is named runs alone; a role says what runs beside it.
func TestSelection(t *testing.T) {
	t.Parallel()
	sinks, processors := []string{"bills"}, []string{"invoice-command"}
	for name, c := range map[string]struct {
		sel  selection
		want string
	}{
		"nothing is named":              {selection{}, "bills hook invoice-command shipment-table outbox"},
		"all":                           {selection{role: "all"}, "bills hook invoice-command shipment-table outbox"},
		"a sink":                        {selection{sinks: sinks}, "bills"},
		"a processor":                   {selection{processors: processors}, "invoice-command"},
		"a sink and a processor":        {selection{sinks: sinks, processors: processors}, "bills invoice-command"},
		"a sink within all":             {selection{role: "all", sinks: sinks}, "bills invoice-command shipment-table outbox"},
		"a sink within the role":        {selection{role: "sink", sinks: sinks}, "bills"},
		"the role sink":                 {selection{role: "sink"}, "bills hook"},
		"the role outbox":               {selection{role: "outbox"}, "outbox"},
		"a processor within processors": {selection{role: "processor", processors: processors}, "invoice-command"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var runs []string
			for _, n := range []string{"bills", "hook"} {
				if c.sel.sink(n) {
					runs = append(runs, n)
				}
			}
			for _, n := range []string{"invoice-command", "shipment-table"} {
				if c.sel.processor(n) {
					runs = append(runs, n)
				}
			}
			if c.sel.has("outbox") {
				runs = append(runs, "outbox")
			}
			if got := strings.Join(runs, " "); got != c.want {
				t.Errorf("runs %q, want %q", got, c.want)
			}
		})
	}
}
