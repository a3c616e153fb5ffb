// Package quota makes a rate limit hold over all replicas together, with no
// store but the topic [topics.Quota].
//
// Every process has a [Bucket] per limit and runs one [Shares]. It tells the
// topic what it could use (a demand); one process, the granter, divides each
// limit over the demands and writes the shares (a round). A share is a rate
// and a burst, good for one term. All of it is in partition 0, so that
// everybody reads the same records in the same order, and what a record is
// worth follows from its place among the others.
//
// # Why the sum never exceeds the limit
//
// A vendor that counts R*w + b in every window w is safe as long as, at every
// instant, the rates of the live shares add up to at most R and their bursts
// to at most b, and no change of a share makes tokens. Buckets start empty
// and are emptied when a share ends, so the second half is plain. The first
// half rests on these rules, none of which compares two clocks:
//
//  1. A share ends one term after its holder SENT the demand that the share
//     answers, on the holder's own clock. The granter counts the share as
//     alive until one term, and a margin for clocks that run at other speeds,
//     after it READ that demand, which is later. However long the broker or a
//     stopped process sits on a record, the holder's end comes first.
//  2. What the granter takes away is free for others when the holder's next
//     demand says that it runs on the smaller share, or when the larger one
//     has ended. It says so only once no more is on its way than the smaller
//     burst. A round that is lost frees nothing.
//  3. Who becomes the granter writes a claim and grants nothing until it has
//     read that back and knows what was promised before, or else until one term
//     later, when all that has ended. A granter that reads somebody else's
//     claim stops. So every share of the old one answers a demand, and stands
//     in a round, before the claim.
//  4. While no granter writes anything for a whole term, every share has
//     ended. A process then marks its demands as static; once it has read
//     such a demand back it may use the fraction of the limit that its source
//     partitions are, and no more than the demand says, until one term after
//     it sent that. Those fractions add up to at most 1 by themselves. A
//     granter that reads a static demand grants nothing for one term.
//  5. A record that was decided on before its writer had read a contrary one
//     is void: each carries its basis, the last offset its writer had read. A
//     round is void if a claim of another or a static demand lies between its
//     basis and itself; a static demand is void if a claim or a round does.
//     All readers see the same order, so all agree.
//
// What was promised is known to who has read all of the last term, see below.
// Each share in a round counts as promised, whether the round counts or not,
// and so does a static one, until one term after it was read, or until its
// holder says that it runs on a later one, or has left. A static demand that
// counts ends the rounds before it; if it is not known whether one counts, what
// was promised is not known. Nor is it if all of that is more than the limit:
// some of it has ended then, and what is renewed must be held. Answers of the
// vendor count from a term after the claim in any case: who starts with the
// granter sends little yet.
//
// Hence a static share and a granted one never live together unaccounted: if
// the round comes first in the log, static shares begin a term after it was
// read; if the static demand comes first, it was counted by whoever began to
// reign after it, or a round that counts was decided a term after it was read.
//
// The end of a share is checked when a token is taken, so a process that was
// stopped for a while finds its share ended. Tokens that are taken before
// their requests can be sent count towards the burst until they are
// ([Bucket.TakeAhead]). A process that is stopped between both sends those
// requests late; no limiter on this side of the network can help it. A clock may run up to 2 % fast or
// slow, and may jump: the monotonic and the wall clock are both asked, and
// the one that saw more time pass is believed.
//
// A process that cannot reach the topic loses its share after a term and has
// no static one either, because it cannot know what others were granted. It
// sends nothing then, which costs little: its records come from the same
// broker.
//
// # How a process knows that it has read a term
//
// A new granter may be a new process, which reads the last seconds of the log
// at its start and cannot tell how old they are: it would have to believe
// another's clock. So each record carries a horizon, the offset that its writer
// had read up to more than a term before it wrote, by its own clocks, of which
// the one is believed that saw less time pass. What
// stands before a horizon was written more than a term ago, whoever says so and
// whenever it is read: no live share answers a demand there. Who has read
// everything from some horizon on knows all live shares. The timestamps by which
// the start is found may be wrong: then too little is read, and rule 3 waits.
//
// # Bursts that are too small to divide
//
// Three shares of a burst of 1 could send nothing, or all at once. Where the
// costs of single records do not fit into the burst side by side, those who
// want to send take turns: the whole limit is one holder's (or a few
// holders') for a time slot, then the next one's. Without a granter nobody
// gives turns, and a static share that is too small for a record sends none.
//
// The files:
//
//	limit.go     what a limit is
//	bucket.go    what a sink asks for tokens
//	tokens.go    the token bucket
//	lease.go     a right that ends
//	meter.go     how much a sink could use
//	message.go   the records of the topic
//	order.go     which of them count
//	board.go     what everybody demanded last
//	past.go      what was granted in the last term, and that it is all
//	peer.go      one process: demands, leases
//	granter.go   the process that grants
//	ledger.go    what it has promised
//	divide.go    how a limit is divided
//	slots.go     whose turn it is when the burst is too small
//	shares.go    all of it on Kafka
//	vendor.go    what the vendor lets on about its limit
//	climb.go     a limit that nobody told, found by the share of refusals
//	flow.go      how much is sent
//	tally.go     what the vendor answered
//	waits.go     how long tokens are waited for
//	metrics.go   what is shown of all that
//	daily.go     a quota that a vendor counts per day
package quota
