// Package shipmenttable flattens shipments into rows of the table shipments.
package shipmenttable

import (
	"context"
	"errors"
	"fmt"

	"holdfast.internal"
	"holdfast.internal/processors"
	"holdfast.internal/schemas/inventory"
	"holdfast.internal/schemas/warehouse"
)

// ErrQuantity refuses a shipment with an item that has no quantity.
var ErrQuantity = errors.New("quantity must be at least 1")

// New returns the processor. Rows are keyed by shipment.
func New() processors.Processor {
	return processors.Map(Process, func(row warehouse.Shipment) string { return row.ShipmentID })
}

// Process maps one state of a shipment to one row.
func Process(_ context.Context, in inventory.Shipment) ([]warehouse.Shipment, error) {
	var count int32
	for i, item := range in.Items {
		if item.Quantity < 1 {
			return nil, holdfast.Permanent(holdfast.ClassTransform, "shipment", fmt.Errorf("items[%d]: %w", i, ErrQuantity))
		}
		count += item.Quantity
	}
	return []warehouse.Shipment{{
		ShipmentID: in.ID,
		Version:    in.Version,
		OrderID:    in.OrderID,
		Status:     string(in.Status),
		Carrier:    in.Carrier,
		ItemCount:  count,
		WeightKg:   in.WeightKg,
		ShippedAt:  in.ShippedAt,
		UpdatedAt:  in.UpdatedAt,
		Country:    in.DestinationCountry,
	}}, nil
}
