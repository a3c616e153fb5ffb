package record

// Headers of our own. Values are UTF-8 text, times epoch milliseconds in
// decimal; set, never appended. docs/reference/headers.md explains each.
const (
	HeaderEventID      = "holdfast.event-id"
	HeaderOrigin       = "holdfast.origin"
	HeaderOriginTime   = "holdfast.origin.ts"
	HeaderParent       = "holdfast.parent"
	HeaderHop          = "holdfast.hop"
	HeaderEpoch        = "holdfast.epoch"
	HeaderGeneration   = "holdfast.key-generation"
	HeaderSink         = "holdfast.sink"
	HeaderAttempt      = "holdfast.attempt"
	HeaderDue          = "holdfast.due"
	HeaderFirstAttempt = "holdfast.first-attempt"
	HeaderAttempts     = "holdfast.attempts"
	HeaderRequest      = "holdfast.request"
	HeaderProgress     = "holdfast.progress"
	HeaderClass        = "holdfast.error.class"
	HeaderCode         = "holdfast.error.code"
	HeaderStatus       = "holdfast.error.status"
	HeaderRequestID    = "holdfast.error.request-id"
	HeaderDetail       = "holdfast.error.detail"
	HeaderFingerprint  = "holdfast.fingerprint"
	HeaderFirstFailed  = "holdfast.first-failed"
	HeaderLastFailed   = "holdfast.last-failed"
	HeaderRedrive      = "holdfast.redrive"
	HeaderTraceLink    = "holdfast.trace-link"

	ownPrefix = "holdfast."
)

// Names of KIP-1191 (Kafka 4.4), so that any tool that reads its dead letters reads ours.
const (
	dlqPrefix        = "__dlq.errors."
	dlqTopic         = dlqPrefix + "topic"
	dlqPartition     = dlqPrefix + "partition"
	dlqOffset        = dlqPrefix + "offset"
	dlqGroup         = dlqPrefix + "group"
	dlqDeliveryCount = dlqPrefix + "delivery.count"
	dlqMessage       = dlqPrefix + "message"
)

// Bounds of what a record may carry besides its payload.
const (
	MaxID       = 1 << 10
	MaxDetail   = 4 << 10
	MaxAttempts = 4 << 10
	MaxRequest  = 48 << 10
	MaxProgress = 2 << 10
	// Headroom is what tiers, redrive and dead-letter topics allow above the
	// max.message.bytes of their source, so that a record always fits.
	Headroom = 96 << 10

	maxWord = 128 // a vendor's code or request id
)
