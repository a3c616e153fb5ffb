package record

import "time"

// Receipt is what a vendor answered to a delivery: the value of a record on
// holdfast.receipts, as JSON. Its key is [ReceiptKey].
type Receipt struct {
	VendorIDs
	Attempts  int       `json:"attempts"`
	At        time.Time `json:"at"`
	LatencyMS int64     `json:"latency_ms"`
}

// ReceiptKey is <sink>/<event id>.
func ReceiptKey(sink, eventID string) []byte { return []byte(sink + "/" + eventID) }

// VendorIDs name what a delivery made at the vendor.
type VendorIDs struct {
	ObjectID  string `json:"object_id"`
	RequestID string `json:"request_id"`
}
