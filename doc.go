// Package holdfast holds the words that every other package speaks: the
// [Event] that is delivered, the verdicts of an attempt, the closed set of
// error classes, the idempotency key and the [Secret] type.
//
// It imports the standard library only. Imports run one way:
//
//	cmd → internal → {producers, processors, sinks} → schemas → holdfast
//
// docs/ARCHITECTURE.md tells where everything else lives.
package holdfast
