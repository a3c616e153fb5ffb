package schemas

// avrogen makes no folder; a new namespace gets its own here.
//go:generate sh -c "grep -oE ' -o [a-z0-9_]+/' generate.go | cut -c 5- | xargs mkdir -p"
//go:generate go tool avrogen -pkg crm -o crm/invoice.go -tags json:snake -strict-types -enums crm.Invoice/v2.avsc
//go:generate go tool avrogen -pkg billing -o billing/invoicecommand.go -tags json:snake -strict-types -enums billing.InvoiceCommand/v1.avsc
//go:generate go tool avrogen -pkg inventory -o inventory/shipment.go -tags json:snake -strict-types -enums inventory.Shipment/v1.avsc
//go:generate go tool avrogen -pkg warehouse -o warehouse/shipment.go -tags json:snake -strict-types -enums warehouse.Shipment/v1.avsc
