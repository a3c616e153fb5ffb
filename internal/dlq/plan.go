package dlq

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// MaxRedrives is how often a letter may be sent again unless the caller says otherwise.
const MaxRedrives = 3

// Selection says which letters an act is about.
type Selection struct {
	Filter Filter
	// At names letters one by one; empty means all that Filter chooses.
	At []holdfast.Coordinates
	// Limit takes the first so many; 0 is no limit.
	Limit int
	// MaxRedrives is the loop guard; 0 is [MaxRedrives], below 0 lets none pass.
	MaxRedrives int
	// Stale says what to do with stale letters; by default nobody looks for them.
	Stale Stale
	// StaleBudget bounds what is read to find them, over all partitions, each
	// of which gets an equal share; zero fields are no bound.
	StaleBudget scan.Budget
}

// LeftOut is a letter that was chosen and will not be sent.
type LeftOut struct {
	Letter  string  `json:"letter"` // coordinates
	EventID string  `json:"event_id"`
	Key     *string `json:"key"`
	Reason  string  `json:"reason"`
}

// Plan is what an act would do, frozen at one moment: letters that come later
// are not part of it.
type Plan struct {
	Topic    string
	FrozenAt time.Time
	Matched  int
	Skipped  []LeftOut
	// Stale counts the letters of whose key a later record was delivered, and
	// StaleUnknown those of which nobody can tell. Both are skipped, or sent.
	Stale, StaleUnknown int
	// Parked counts records that the filter matches and that wait behind a
	// letter of their key: they follow it by themselves, and an act reaches
	// them only by name.
	Parked int
	// Behind are letters of the plan that wait behind an open one which is not
	// part of it: sent again, they still wait.
	Behind []Behind

	letters map[int32][]ref // in the order in which they are sent
}

// Behind says which letter is in the way of which, by their coordinates.
type Behind struct{ Letter, Front string }

// Sendable counts the letters that the act reaches.
func (p *Plan) Sendable() int {
	n := 0
	for _, refs := range p.letters {
		n += len(refs)
	}
	return n
}

// ref is one letter of a plan. Payloads stay in Kafka until they are sent.
type ref struct {
	offset int64
	copies []int64 // equal letters, settled with it
	origin holdfast.Coordinates
	key    uint64 // a hash; unkeyed letters have each their own
	size   int64
	// turn is the offset at whose place the letter is sent: its own, or that of
	// an earlier record of its key that died later.
	turn int64
}

// Plan reads the topic and chooses. For letters named one by one only their
// partitions are read.
func (b *Box) Plan(ctx context.Context, s Selection) (*Plan, error) {
	if s.MaxRedrives == 0 {
		s.MaxRedrives = MaxRedrives
	}
	stale, err := b.watchStale(ctx, s)
	if err != nil {
		return nil, err
	}
	extents, err := scan.Measure(ctx, b.admin(), b.Target.Letters())
	if err != nil {
		return nil, err
	}
	plan := &Plan{Topic: b.Target.Letters(), FrozenAt: b.now().UTC(), letters: map[int32][]ref{}}
	closed, err := b.states(ctx)
	if err != nil {
		return nil, err
	}
	whole := extents.Whole()
	if stale != nil {
		if err := stale.begin(ctx, len(whole[b.Target.Letters()])); err != nil {
			return nil, err
		}
	}
	for _, p := range slices.Sorted(maps.Keys(whole[b.Target.Letters()])) {
		if s.Limit > 0 && plan.Matched >= s.Limit {
			break
		}
		pick := picker{box: b, selection: s, closed: closed, partition: p, groups: map[copyID]*group{}, wanted: wanted(s.At, plan.Topic, p)}
		if len(s.At) > 0 && len(pick.wanted) == 0 {
			continue
		}
		if err := b.read(ctx, whole.Only(p), pick.take); err != nil {
			return nil, err
		}
		chosen := pick.choose(plan)
		if stale != nil {
			if err := stale.judge(ctx, p, chosen, pick.order); err != nil {
				return nil, err
			}
		}
		pick.into(plan, chosen)
	}
	return plan, b.missing(plan, s.At)
}

// missing notes the named letters that are not there.
func (b *Box) missing(plan *Plan, named []holdfast.Coordinates) error {
	if len(named) == 0 {
		return nil
	}
	found := map[string]bool{}
	for p, refs := range plan.letters {
		for i := range refs {
			for _, offset := range append(slices.Clip(refs[i].copies), refs[i].offset) {
				found[holdfast.Coordinates{Topic: plan.Topic, Partition: p, Offset: offset}.String()] = true
			}
		}
	}
	for _, s := range plan.Skipped {
		found[s.Letter] = true
	}
	for _, c := range named {
		if c.Topic != plan.Topic || !found[c.String()] {
			return fmt.Errorf("%s: %w", c, ErrNoLetter)
		}
	}
	return nil
}

func wanted(named []holdfast.Coordinates, topic string, partition int32) map[int64]bool {
	out := map[int64]bool{}
	for _, c := range named {
		if c.Topic == topic && c.Partition == partition {
			out[c.Offset] = true
		}
	}
	return out
}

// picker chooses the letters of one partition.
type picker struct {
	box       *Box
	selection Selection
	closed    states
	partition int32
	wanted    map[int64]bool
	groups    map[copyID]*group
	order     []*group
}

// group is all equal copies of one letter.
type group struct {
	ref
	state   State
	parked  bool
	matched bool
	skipped LeftOut
	again   int    // redrives so far
	name    []byte // the key of a chosen letter; nil for none
	stale   bool
	doubt   string // why nobody can tell whether it is stale
}

func (p *picker) take(r *kgo.Record, e *record.Envelope) error {
	id := identify(e)
	g, known := p.groups[id]
	if !known {
		g = &group{state: Open, parked: e.Parked(), again: e.Redrive.Count}
		g.offset, g.origin, g.key, g.size = r.Offset, e.Event.Origin, keyHash(e.Event.Key, r.Offset), footprint(r)
		p.groups[id] = g
		p.order = append(p.order, g)
	} else {
		g.copies = append(g.copies, r.Offset)
	}
	if state := p.closed.of(r.Partition, r.Offset); state.Closed() {
		g.state = state
	}
	named := p.wanted[r.Offset]
	if named || len(p.selection.At) == 0 && p.selection.Filter.match(e, r.Timestamp) {
		g.matched = true
		g.name = bytes.Clone(e.Event.Key)
		g.skipped = LeftOut{Letter: e.At.String(), EventID: e.Event.ID, Key: KeyText(e.Event.Key)}
	}
	return nil
}

// choose counts what matches and returns what may be sent.
func (p *picker) choose(plan *Plan) []*group {
	var chosen []*group
	for _, g := range p.order {
		if !g.matched || g.state.Closed() && len(p.selection.At) == 0 {
			continue
		}
		if g.parked && len(p.selection.At) == 0 {
			plan.Parked++
			continue
		}
		if p.selection.Limit > 0 && plan.Matched >= p.selection.Limit {
			break
		}
		plan.Matched++
		if reason := g.refusal(p.selection.MaxRedrives); reason != "" {
			plan.skip(g, reason)
			continue
		}
		chosen = append(chosen, g)
	}
	return chosen
}

// front is the open letter that a parked one waits behind; nil for none.
func (p *picker) front(g *group) *group {
	if !g.parked || g.state.Closed() || !p.box.Target.Park {
		return nil
	}
	for _, other := range p.order {
		if other.key == g.key && !other.parked && !other.state.Closed() {
			return other
		}
	}
	return nil
}

func (p *picker) at(g *group) string {
	return holdfast.Coordinates{Topic: p.box.Target.Letters(), Partition: p.partition, Offset: g.offset}.String()
}

// into adds what was chosen to the plan, in the order of sending.
func (p *picker) into(plan *Plan, chosen []*group) {
	var refs []ref
	sent := map[*group]bool{}
	for _, g := range chosen {
		reason := ""
		switch {
		case g.stale:
			plan.Stale++
			reason = reasonStale
		case g.doubt != "":
			plan.StaleUnknown++
			reason = reasonDoubt(g.doubt)
		}
		if reason != "" && p.selection.Stale == StaleSkip {
			plan.skip(g, reason)
			continue
		}
		refs = append(refs, g.ref)
		sent[g] = true
	}
	for _, g := range chosen {
		if front := p.front(g); sent[g] && front != nil && !sent[front] {
			plan.Behind = append(plan.Behind, Behind{p.at(g), p.at(front)})
		}
	}
	if len(refs) > 0 {
		inOrder(refs)
		plan.letters[p.partition] = refs
	}
}

func (p *Plan) skip(g *group, reason string) {
	g.skipped.Reason = reason
	p.Skipped = append(p.Skipped, g.skipped)
}

// refusal says why a letter is not sent, or "".
func (g *group) refusal(maxRedrives int) string {
	switch {
	case g.state.Closed():
		return "already " + string(g.state)
	case g.again >= maxRedrives:
		return "redriven " + strconv.Itoa(g.again) + " times already"
	default:
		return ""
	}
}

// inOrder sorts letters so that those of one key go by origin, and otherwise
// near to the order in which they lie, so that a chunk is read in one stretch.
func inOrder(refs []ref) {
	byKey := map[uint64][]int{}
	for i := range refs {
		byKey[refs[i].key] = append(byKey[refs[i].key], i)
	}
	for _, lane := range byKey {
		slices.SortFunc(lane, func(a, b int) int { return byOrigin(refs[a], refs[b]) })
		var turn int64
		for _, i := range lane {
			turn = max(turn, refs[i].offset)
			refs[i].turn = turn
		}
	}
	slices.SortFunc(refs, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), byOrigin(a, b))
	})
}

func byOrigin(a, b ref) int {
	return cmp.Or(
		cmp.Compare(a.origin.Topic, b.origin.Topic),
		cmp.Compare(a.origin.Partition, b.origin.Partition),
		cmp.Compare(a.origin.Offset, b.origin.Offset),
		cmp.Compare(a.offset, b.offset),
	)
}

// keyHash tells keys apart in eight bytes; a collision merges two lanes, which
// costs nothing but their independence.
func keyHash(key []byte, offset int64) uint64 {
	h := fnv.New64a()
	if key == nil { // a lane of its own
		key = binary.BigEndian.AppendUint64([]byte("no key "), uint64(offset)) //nolint:gosec // offsets are not negative
	}
	_, _ = h.Write(key)
	return h.Sum64()
}

func footprint(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// ready reports what a redrive needs and the cluster lacks.
func (b *Box) ready(ctx context.Context) error {
	found, err := b.admin().ListTopics(ctx, b.Target.Letters(), b.Target.Redrive(), topics.Dispositions)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	for _, name := range []string{b.Target.Letters(), b.Target.Redrive(), topics.Dispositions} {
		if !found.Has(name) {
			return fmt.Errorf("%s: %w; holdfast topic apply makes it", name, scan.ErrNoTopic)
		}
	}
	letters, redrive := len(found[b.Target.Letters()].Partitions), len(found[b.Target.Redrive()].Partitions)
	if redrive < letters {
		return fmt.Errorf("%s has %d partitions and %s %d: %w", b.Target.Redrive(), redrive, b.Target.Letters(), letters, ErrPartitions)
	}
	return nil
}
