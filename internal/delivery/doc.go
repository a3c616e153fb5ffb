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
//	worker.go     lifecycle: start and stop
//	config.go     what a user sets
//	layout.go     the topics of a sink, numbered
//	assign.go     what the group assigns and revokes
//	own.go        shards that come and go
//	shard.go      one partition number of all topics
//	place.go      where a partition begins that has no commit
//	rival.go      another process under the same name
//	grow.go       a source that gets more partitions
//	barrier.go    what waits meanwhile
//	read.go       reading topics
//	admit.go      what is filed of what was read
//	index.go      outstanding records, chained by key in order of origin
//	chains.go     the hash table of these chains
//	tasks.go      those that are in memory
//	memory.go     how much of them is in memory, and when the source is not read
//	detach.go     what stays in memory, without its batch
//	scheduler.go  what may be sent
//	alarm.go      when that is
//	turns.go      what is sent next
//	tenant.go     turns, holds, breaker and evidence of each tenant
//	endpoint.go   an endpoint that is held alone
//	fence.go      who may have been replaced sends nothing
//	gate.go       the limits, as one attempt meets them
//	line.go       requests that wait for tokens
//	calls.go      the calls of the sink that are under way
//	patience.go   the time of one
//	attempt.go    one attempt: decode, look up, send
//	batch.go      many records in one request
//	judge.go      what an attempt showed of the destination
//	mapping.go    the dead-letter budget
//	standing.go   how the sink stands, and sink resume
//	settle.go     what follows from a verdict
//	outcome.go    where that leaves the record
//	move.go       a record's way into a tier or the dead-letter topic
//	letters.go    order around dead letters: who waits behind them, who leaves
//	dispositions.go  what was decided about dead letters
//	refetch.go    what is to be read again of what waits in a tier
//	reread.go     reading it
//	spill.go      moving out of the way what may not be sent
//	poison.go     batches that nobody can read
//	awaits.go     what waits for a schema
//	gap.go        offsets that are gone
//	receipt.go    what the vendor answered
//	commit.go     offsets, and what is finished beyond them
//	gauges.go     what the index holds
//	heap.go       how often garbage is collected
//	metrics.go    what all of it reports
//
// docs/delivery.md tells what is promised and what each mode costs.
package delivery
