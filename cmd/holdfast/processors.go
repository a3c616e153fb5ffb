package main

import (
	"holdfast.internal/processors"
	"holdfast.internal/processors/invoicecommand"
	"holdfast.internal/processors/shipmenttable"
)

// transform is a processor and the records that it reads and writes.
type transform struct {
	in, out string // full record names
	processors.Processor
}

// processorTypes lists every processor that a configuration may name. Keep it sorted.
func processorTypes() map[string]transform {
	return map[string]transform{
		"invoice-command": {"crm.Invoice", "billing.InvoiceCommand", invoicecommand.New()},
		"shipment-table":  {"inventory.Shipment", "warehouse.Shipment", shipmenttable.New()},
	}
}
