// Package offsets keeps which records of one partition are finished: what to
// commit, and what the next owner has to know beyond it.
//
// Records finish in any order, a commit is one number. So the [Tracker]
// commits the offset of the first unfinished record, and beside it, as the
// metadata of the commit, what is finished beyond. The next owner of the
// partition reads both and sends nothing again.
//
//	             head                    next
//	 finished ... | open done open done ... | not read (some told as finished)
//	<-- offset -->|<------- metadata ------>...
//
// An offset below next is open (read, not finished), done, or a gap: nothing
// was read there, because a transaction marker or compaction took it. A gap
// counts as finished, and the metadata may call it either, whatever is shorter.
//
// # Cost
//
// A bit each for open and done, in chunks of 256 offsets: 1 M outstanding
// records that lie close together take about 0.3 MiB. A chunk is kept only
// for what is open or lies near it, so a jump of any size costs nothing;
// records more than 256 offsets apart take 80 bytes each. Add is O(1), Finish
// O(1) where chunks follow each other and O(log chunks) otherwise, both
// without allocation once the chunks have been made.
//
// # Metadata
//
//	"hf1" kind "." base64url( uvarint(head) body )
//	kind r: pairs of uvarints, so many offsets not finished, then so many finished
//	kind b: bits from the head on, low bit first, 1 = finished
//
// The smaller kind is taken. It never exceeds [MaxMetadata]: where not all
// fits, the longest prefix that does is written. What is cut off is delivered
// again after a restart; nothing is ever called finished that is not. The head
// is repeated inside because tools that copy groups between clusters translate
// the offset and keep the text, which then says something else.
package offsets
