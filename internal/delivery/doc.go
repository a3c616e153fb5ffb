// Package delivery is the engine: one [Worker] per sink takes records from
// the sink's source topic, its retry tiers and its redrive topic, sends each
// through the sink and does what the verdict asks for. It knows no vendor.
//
// The files, in the order in which a record meets them:
//
//	worker.go     lifecycle: poll, dispatch, commit, stop
//	scheduler.go  key lanes, due times, what may be sent next
//	partition.go  which offsets of an assigned partition are finished
//	attempt.go    one attempt: decode, hold, limit, send
//	settle.go     what follows from a verdict
//	move.go       a record's way into a tier or the dead-letter topic
//	evidence.go   whose fault a failure is
//	hold.go       a sink that was asked to wait
//	metrics.go    what all of it reports
//
// This is the first version. It keeps order per key among the records that
// are in memory; order through tiers, commit metadata, the breaker, shared
// limits and fairness are the next capability, behind the same seam.
package delivery
