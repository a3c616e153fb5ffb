// Package watch measures what Kafka knows and no worker counts: how far the
// consumer groups of a process are behind, and which dead letters are open.
//
// Every replica looks after the partition numbers that its workers own and
// after nobody else's. So each partition is read once in the whole deployment,
// the sums over replicas are the truth, and a replica that owns nothing costs
// nothing. For the seconds or so of a rebalance a partition may be counted by
// two replicas, or by none.
//
// What it costs: two or three requests to each broker per look, whatever lies
// in the topics; one small read of partitions that stand still; and, once per
// assignment, the dead letters of the partitions owned, at 8 MiB/s at most.
// After that only what is new.
//
// The files:
//
//	watch.go     the loop
//	backlog.go   how far groups are behind
//	peek.go      what a partition that stands still holds
//	letters.go   the dead letters that are open
//	tally.go     how they are counted
//	metrics.go   the series
package watch
