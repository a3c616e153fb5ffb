package main

import (
	"holdfast.internal/processors"
	"holdfast.internal/processors/invoicecommand"
	"holdfast.internal/processors/shipmenttable"
)

// processorTypes lists every processor that a configuration may name. Keep it sorted.
func processorTypes() map[string]processors.Processor {
	return map[string]processors.Processor{
		"invoice-command": invoicecommand.New(),
		"shipment-table":  shipmenttable.New(),
	}
}
