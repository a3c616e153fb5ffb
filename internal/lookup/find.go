package lookup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/sinkstate"
)

// Match is one record on its way to one sink or processor. Its field names are
// an interface for scripts.
type Match struct {
	State     State             `json:"state"`
	EventID   string            `json:"event_id"`
	Key       *string           `json:"key"` // null: no key; hex where it is not UTF-8
	Sink      string            `json:"sink"`
	Processor string            `json:"processor"`
	Origin    string            `json:"origin"`
	Parent    string            `json:"parent"`
	At        string            `json:"at"` // coordinates of its newest copy
	Due       *time.Time        `json:"due"`
	Attempts  int               `json:"attempts"`
	Class     string            `json:"class"`
	Code      string            `json:"code"`
	Redrives  int               `json:"redrives"`
	Note      string            `json:"note"` // in words, what the state does not say
	Hops      []Hop             `json:"hops"` // oldest first
	VendorIDs *record.VendorIDs `json:"vendor_ids"`
}

// Hop is one place where the record lay.
type Hop struct {
	At       string     `json:"at"`
	Hop      int        `json:"hop"`
	Redrive  int        `json:"redrive"`
	Written  time.Time  `json:"written"`
	Due      *time.Time `json:"due"`
	Attempts int        `json:"attempts"`
	Class    string     `json:"class"`
	Status   int        `json:"status"`
	Code     string     `json:"code"`
}

// Found is the answer to a query.
type Found struct {
	Matches []Match
	// Partial says why not everything was read, or is "".
	Partial string
}

// Find tells where the records are that query names: an event id, the producer's
// ce_id, a key (as text or hex), coordinates, a vendor's id of a request or an
// object; if it is none of these, a text that is a whole field of a value.
// Where the budget does not suffice for all topics the newest records are read.
func (l *Lookup) Find(ctx context.Context, query string, budget scan.Budget) (Found, error) {
	s := search{lookup: l, query: query, budget: budget, began: l.now(), groups: map[string]group{}, named: map[string]bool{}, tracks: map[trackID]*track{}}
	start := time.Now()
	if at, err := holdfast.ParseCoordinates(query); err == nil {
		if err := s.resolve(ctx, at); err != nil {
			return Found{}, err
		}
	}
	if err := s.read(ctx); err != nil {
		return Found{}, err
	}
	if len(s.tracks) == 0 && s.spend(time.Since(start)) {
		if err := s.elsewhere(ctx); err != nil {
			return Found{}, err
		}
	}
	if len(s.named) > 0 {
		s.events = s.named
		if err := s.read(ctx); err != nil {
			return Found{}, err
		}
	}
	return s.answer(ctx)
}

// search is one query under way.
type search struct {
	lookup *Lookup
	query  string
	budget scan.Budget
	began  time.Time

	// Of a record named by its coordinates: its origin and event id, and since
	// when it can have moved.
	origin  holdfast.Coordinates
	eventID string
	since   time.Time

	// What the query names may be of one copy alone: a request id, a text. The
	// events of such copies are looked for again, by their ids.
	text          []byte          // as Avro writes it, where the query is nothing else
	named, events map[string]bool // found so; looked for

	groups  map[string]group
	states  map[string]sinkstate.State // by sink
	tracks  map[trackID]*track
	partial string
}

type trackID struct {
	target string
	origin holdfast.Coordinates
}

// track is all that was seen of one record on its way to one target.
type track struct {
	target dlq.Target
	seen   []sighting
}

type sighting struct {
	at      holdfast.Coordinates
	written time.Time
	e       *record.Envelope
}

// resolve reads the record at the coordinates, if one is there.
func (s *search) resolve(ctx context.Context, at holdfast.Coordinates) error {
	extents, err := scan.MeasureExisting(ctx, s.lookup.admin(), at.Topic)
	if err != nil {
		return err
	}
	stretch, ok := extents[at.Topic][at.Partition]
	if !ok || at.Offset < stretch.From || at.Offset >= stretch.To {
		return nil
	}
	r, ok, err := s.lookup.Scanner.One(ctx, at.Topic, at.Partition, at.Offset)
	if err != nil || !ok {
		return err
	}
	e := record.Read(r, s.trust(r.Topic))
	s.origin, s.eventID = e.Event.Origin, e.Event.ID
	if e.At == e.Event.Origin {
		s.since = r.Timestamp
	}
	for _, t := range s.lookup.Targets { // a source record is at hand: no need to come by it again
		if t.Source == r.Topic {
			s.add(t, r, e)
		}
	}
	return nil
}

// trust believes the headers of topics that are ours alone.
func (s *search) trust(topic string) record.Trust {
	for _, t := range s.lookup.Targets {
		if slices.Contains(own(t), topic) {
			return record.FromHoldfast
		}
	}
	return record.FromProducer
}

// read looks through the topics. Offsets first, topics after: a record is
// written to where it goes next before it is settled where it was.
func (s *search) read(ctx context.Context) error {
	var err error
	if s.states, err = s.lookup.states(ctx); err != nil {
		return err
	}
	owners := map[string][]dlq.Target{}
	var names []string
	for _, t := range s.lookup.Targets {
		g, err := s.lookup.group(ctx, t.Group())
		if err != nil {
			return err
		}
		s.groups[t.Name] = g
		for _, topic := range append(own(t), t.Source) {
			owners[topic] = append(owners[topic], t)
			names = append(names, topic)
		}
	}
	extents, err := scan.MeasureExisting(ctx, s.lookup.admin(), names...)
	if err != nil {
		return err
	}
	ranges, err := extents.Since(ctx, s.lookup.admin(), s.since)
	if err != nil {
		return err
	}
	result, err := s.lookup.Scanner.Backwards(ctx, ranges, s.budget, func(r *kgo.Record) error {
		e := record.Read(r, s.trust(r.Topic))
		if !s.match(e) {
			return nil
		}
		for _, t := range owners[r.Topic] {
			s.add(t, r, e)
		}
		return nil
	})
	s.partial = cmp.Or(s.partial, result.Partial)
	return err
}

func (s *search) match(e *record.Envelope) bool {
	if !s.origin.IsZero() {
		return e.Event.Origin == s.origin || e.Event.Parent == s.origin || e.Event.ID == s.eventID
	}
	switch {
	case s.query == "":
		return false
	case s.events != nil:
		return s.events[e.Event.ID]
	case e.Failure.RequestID == s.query, s.text != nil && bytes.Contains(e.Payload, s.text):
		s.named[e.Event.ID] = true
		return true
	}
	// An outbox row's id, and any ce_id, is what a producer knows its event by.
	return e.Event.ID == s.query || e.Event.Header("ce_id") == s.query ||
		e.Event.Key != nil && (string(e.Event.Key) == s.query || hex.EncodeToString(e.Event.Key) == s.query)
}

func (s *search) add(t dlq.Target, r *kgo.Record, e *record.Envelope) {
	id := trackID{t.Name, e.Event.Origin}
	if s.tracks[id] == nil {
		s.tracks[id] = &track{target: t}
	}
	k := s.tracks[id]
	for i := range k.seen {
		if k.seen[i].at == e.At {
			return
		}
	}
	thin := *e
	thin.Payload, thin.Frozen, thin.Progress = nil, nil, nil
	k.seen = append(k.seen, sighting{at: e.At, written: r.Timestamp, e: &thin})
}

// answer judges every track.
func (s *search) answer(ctx context.Context) (Found, error) {
	receipts, partial, err := s.receipts(ctx)
	if err != nil {
		return Found{}, err
	}
	s.partial = cmp.Or(s.partial, partial)
	found := Found{Partial: s.partial, Matches: []Match{}}
	for _, k := range slices.SortedFunc(maps.Values(s.tracks), inTurn) {
		m, err := s.judge(ctx, k, receipts)
		if err != nil {
			return Found{}, err
		}
		found.Matches = append(found.Matches, m)
	}
	return found, nil
}

// inTurn orders tracks by the time of their first copies, and what has one time
// as it lies.
func inTurn(a, b *track) int {
	began := func(k *track) int64 {
		return slices.MinFunc(k.seen, func(a, b sighting) int { return a.written.Compare(b.written) }).written.UnixMilli()
	}
	sink := func(k *track) string { // the processor before the sinks behind it
		if k.target.Processor {
			return ""
		}
		return k.target.Name
	}
	x, y := a.seen[0].e.Event.Origin, b.seen[0].e.Event.Origin
	return cmp.Or(cmp.Compare(began(a), began(b)), cmp.Compare(sink(a), sink(b)), cmp.Compare(x.Topic, y.Topic),
		cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.Offset, y.Offset), cmp.Compare(a.target.Name, b.target.Name))
}

func (s *search) judge(ctx context.Context, k *track, receipts map[string]record.Receipt) (Match, error) {
	slices.SortFunc(k.seen, func(a, b sighting) int {
		return cmp.Or(cmp.Compare(a.e.Redrive.Count, b.e.Redrive.Count), cmp.Compare(a.e.Hop, b.e.Hop), cmp.Compare(b.at.Offset, a.at.Offset))
	})
	last := k.seen[len(k.seen)-1]
	e, g := last.e, s.groups[k.target.Name]
	f := facts{target: k.target, last: last, settled: g.settled(last.at.Topic, last.at.Partition), busy: g.busy, now: s.began, sink: s.standing(k.target, g)}
	receipt, delivered := receipts[string(record.ReceiptKey(k.target.Name, e.Event.ID))]
	f.receipt = delivered && !receipt.At.Before(last.written)
	for _, past := range k.seen {
		if past.at.Topic != k.target.Letters() {
			continue
		}
		if f.behind = ""; k.target.Park && past.e.Parked() {
			f.behind = past.e.Message
		}
	}
	if last.at.Topic == k.target.Letters() {
		box := dlq.Box{Target: k.target, Client: s.lookup.Client, Scanner: s.lookup.Scanner}
		disposition, err := box.Disposition(ctx, last.at)
		if err != nil {
			return Match{}, err
		}
		if disposition != nil {
			f.disposition = disposition.State
		}
	}
	state, note := f.judge()
	m := Match{
		State: state, Note: note, EventID: e.Event.ID, Key: dlq.KeyText(e.Event.Key), Origin: e.Event.Origin.String(),
		At: last.at.String(), Due: moment(e.Due), Attempts: e.Spent, Class: string(e.Failure.Class), Code: e.Failure.Code,
		Redrives: e.Redrive.Count, Hops: hops(k.seen),
	}
	if !e.Event.Parent.IsZero() {
		m.Parent = e.Event.Parent.String()
	}
	if k.target.Processor {
		m.Processor = k.target.Name
	} else {
		m.Sink = k.target.Name
	}
	if delivered {
		m.VendorIDs = &receipt.VendorIDs
		m.Attempts = max(m.Attempts, receipt.Attempts)
	}
	return m, nil
}

// standing is how the sink of a target stands; the zero state where nobody runs it.
func (s *search) standing(t dlq.Target, g group) sinkstate.State {
	if t.Processor || !g.busy {
		return sinkstate.State{}
	}
	return s.states[t.Name]
}

func hops(seen []sighting) []Hop {
	out := make([]Hop, len(seen))
	for i, s := range seen {
		out[i] = Hop{
			At: s.at.String(), Hop: s.e.Hop, Redrive: s.e.Redrive.Count, Written: s.written.UTC(), Due: moment(s.e.Due),
			Attempts: s.e.Spent, Class: string(s.e.Failure.Class), Status: s.e.Failure.Status, Code: s.e.Failure.Code,
		}
	}
	return out
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
