// Package shipmenttable flattens shipments into rows of the table shipments,
// in which the highest version of a shipment wins.
package shipmenttable

import (
	"context"
	"errors"
	"fmt"
	"math"

	"holdfast.internal"
	"holdfast.internal/processors"
	"holdfast.internal/schemas/inventory"
	"holdfast.internal/schemas/warehouse"
)

// What a shipment is refused for.
var (
	ErrNoID     = errors.New("shipment has no id")
	ErrQuantity = errors.New("quantity must be at least 1")
	ErrTooMany  = errors.New("more items than a row can count")
	ErrWeight   = errors.New("weight must not be negative")
)

// New returns the processor. Rows are keyed by shipment.
func New() processors.Processor {
	return processors.Map(Process, func(row warehouse.Shipment) string { return row.ShipmentID })
}

// Process maps one state of a shipment to one row. The recipient is left out:
// the table is read by people who need no names.
func Process(_ context.Context, in inventory.Shipment) ([]warehouse.Shipment, error) {
	count, code, err := check(in)
	if err != nil {
		return nil, holdfast.Permanent(holdfast.ClassTransform, code, err)
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

// check counts the items, or returns the first rule that the shipment breaks
// and its code.
func check(in inventory.Shipment) (count int32, code string, err error) {
	if in.ID == "" {
		return 0, "no_id", ErrNoID
	}
	if in.WeightKg.Sign() < 0 {
		return 0, "weight", ErrWeight
	}
	var sum int64
	for i, item := range in.Items {
		if item.Quantity < 1 {
			return 0, "quantity", fmt.Errorf("items[%d]: %w", i, ErrQuantity)
		}
		if sum += int64(item.Quantity); sum > math.MaxInt32 {
			return 0, "too_many", ErrTooMany
		}
	}
	return int32(sum), "", nil
}
