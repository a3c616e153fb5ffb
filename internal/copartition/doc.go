// Package copartition assigns partition numbers, not partitions, to the
// workers of a sink: whoever owns number p of the source owns p of every retry
// tier and of the redrive topic, at every moment. Order per key rests on it: a
// worker can tell from its own partitions whether an earlier record of a key
// is still outstanding.
//
// # Why a balancer of our own
//
// The brokers' newer group protocol with its range assignor keeps numbers
// together too, but its session time-out is the broker's: with the defaults a
// killed worker's share stands still for 45 s, and for 47 s under a static
// name. The classic protocol lets the client choose (8 s here) and gives a
// static name its share back 0.01 s after the restart, with nothing moved for
// the others. On the classic protocol, kgo's range balancer is eager, so that
// everybody stops at each join and leave, and its cooperative-sticky balancer
// moves single partitions, so that a number comes apart.
//
// # Protocol
//
// Cooperative, sticky, on the classic protocol, under the name [Protocol]. All
// members of a group use it alone. Metadata and assignments are those of any
// Kafka consumer, so that Kafka's own tools can show the group.
//
// In each round the leader reads what every member claims to own and since
// which generation. A number belongs to the newest claim. Shares differ by one
// at most, and nothing moves but what that takes: the n-th member to join is
// given at most 1/n of the numbers, rounded up. A number that moves is first
// given to nobody, whole, so that its owner revokes it and joins again; the
// second round hands it over. It is never with two members nor spread over
// them, also when a member that slept through rebalances comes back with claims
// of old: the number is withheld until all but the newest claim are revoked.
//
// # Topics
//
// Only numbers that all topics have are assigned. When a source grows, its new
// partitions are read by nobody until the tiers have grown too; a topic that is
// missing stops the whole group rather than let records run past it.
//
// Members may differ in their topics while a new release is rolled out. All
// members that share a topic, directly or through others, share one set of
// numbers; the owner of a number gets it of those topics that it asked for.
// Other topics of that number wait for an owner that knows them. Members with
// no topic in common do not affect each other.
//
// # What an operator sees
//
// When a worker joins or leaves, everybody keeps working on what it keeps; what
// moves stops for up to two heartbeats (1 s each). A worker killed and started
// again under its static name within the session (8 s) has its share back at
// once, and nothing moves; so a rolling restart moves nothing. Without a name,
// or when it stays away, its numbers go to the others once the session has
// ended. A static member that stops keeps its share for the session; to scale
// down at once, see [RemoveStatic]. If the restarted worker is the group's
// leader, one round may follow in which nothing moves and nobody stops.
//
// A broker gives a static member that comes back the share as it was, also when
// its topics have changed since: some topics of a number without the others. The
// member has to force a rebalance then.
package copartition
