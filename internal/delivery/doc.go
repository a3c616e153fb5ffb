// Package delivery is the engine: one [Worker] per sink takes records from
// the sink's source topic, its retry tiers and its redrive topic, sends each
// through the sink and does what the verdict asks for. It knows no vendor.
//
// A shard is one partition number of all of a sink's topics. They have one
// owner, and a record keeps its number, so all that matters for the order of a
// key is in one shard. Its index knows every outstanding record, wherever it
// lies: in memory, or in a tier that is read again when its time has come.
//
// The files, in the order in which a record meets them:
//
//	worker.go     lifecycle: poll, assign, revoke, stop
//	layout.go     the topics of a sink, numbered
//	own.go        shards that come and go
//	shard.go      one partition number of all topics
//	index.go      outstanding records, chained by key in order of origin
//	chains.go     the hash table of these chains
//	scheduler.go  what is admitted, what may be sent next, what is settled
//	tenant.go     turns, holds, breaker and evidence of each tenant
//	attempt.go    one attempt: decode, look up, send
//	batch.go      many records in one request
//	judge.go      what an attempt showed of the destination
//	mapping.go    the dead-letter budget
//	standing.go   how the sink stands, and sink resume
//	settle.go     what follows from a verdict
//	move.go       a record's way into a tier or the dead-letter topic
//	letters.go    order around dead letters: who waits behind them, who leaves
//	dispositions.go  what was decided about dead letters
//	memory.go     what is held of it, and when the source is not read
//	detach.go     what stays in memory, without its batch
//	refetch.go    reading again what waits in a tier
//	spill.go      moving out of the way what may not be sent
//	poison.go     batches that nobody can read
//	receipt.go    what the vendor answered
//	commit.go     offsets, and what is finished beyond them
//	gauges.go     what the index holds
//	metrics.go    what all of it reports
//
// docs/delivery.md tells what is promised and what each mode costs.
package delivery
