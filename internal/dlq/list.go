package dlq

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
)

// The errors that callers tell apart.
var (
	ErrNoReason = errors.New("a reason is required")
	ErrNoLetter = errors.New("no such dead letter")
	// ErrPartial reports that a topic could not be read to its end.
	ErrPartial = errors.New("not all dead letters could be read")
)

// Box is the dead-letter topic of one sink or processor.
type Box struct {
	Target  Target
	Client  *kgo.Client
	Scanner scan.Scanner
	// Values opens what the letters hold; only Show needs it.
	Values Opener
	// Now is time.Now unless a test says otherwise.
	Now func() time.Time
}

func (b *Box) admin() *kadm.Client { return kadm.NewClient(b.Client) }

func (b *Box) now() time.Time {
	if b.Now == nil {
		return time.Now()
	}
	return b.Now()
}

// ListOptions say which letters [Box.List] shows.
type ListOptions struct {
	Filter Filter
	// All shows the closed, acknowledged and parked ones too.
	All bool
	// Limit ends the list after so many; 0 is no limit.
	Limit int
	// Budget bounds the reading of each partition; [ErrPartial] says that it was spent.
	Budget scan.Budget
}

// List calls each for every chosen letter, by partition and offset. It reads
// up to the end that the topic has when it is called. Of equal copies it shows
// the first. A topic that does not exist is [scan.ErrNoTopic].
func (b *Box) List(ctx context.Context, o ListOptions, each func(Letter) error) error {
	extents, err := scan.Measure(ctx, b.admin(), b.Target.Letters())
	if err != nil {
		return err
	}
	closed, err := b.states(ctx)
	if err != nil {
		return err
	}
	// Written after it failed: what is older than Since cannot have failed later.
	ranges, err := extents.Since(ctx, b.admin(), o.Filter.Since)
	if err != nil {
		return err
	}
	shown := 0
	for _, p := range slices.Sorted(maps.Keys(ranges[b.Target.Letters()])) {
		seen := map[copyID]struct{}{}
		err := b.readWithin(ctx, ranges.Only(p), o.Budget, func(r *kgo.Record, e *record.Envelope) error {
			id := identify(e)
			if _, again := seen[id]; again {
				return nil
			}
			seen[id] = struct{}{}
			state := stateOf(e, closed.of(r.Partition, r.Offset))
			if state != Open && !o.All || !o.Filter.match(e, r.Timestamp) {
				return nil
			}
			if err := each(newLetter(e, b.Target.Name, state)); err != nil {
				return err
			}
			if shown++; shown == o.Limit {
				return scan.ErrStop
			}
			return nil
		})
		if err != nil || o.Limit > 0 && shown >= o.Limit {
			return err
		}
	}
	return nil
}

// read opens every record of the ranges.
func (b *Box) read(ctx context.Context, ranges scan.Ranges, each func(*kgo.Record, *record.Envelope) error) error {
	return b.readWithin(ctx, ranges, scan.Budget{}, each)
}

func (b *Box) readWithin(ctx context.Context, ranges scan.Ranges, budget scan.Budget, each func(*kgo.Record, *record.Envelope) error) error {
	result, err := b.Scanner.Read(ctx, ranges, budget, func(r *kgo.Record) error {
		return each(r, record.Read(r, record.FromHoldfast))
	})
	if err == nil && result.Partial != "" {
		err = fmt.Errorf("%w: %s", ErrPartial, result.Partial)
	}
	return err
}

// copyID is a [record.Copy] in few bytes, as a topic may hold very many.
type copyID [16]byte

func identify(e *record.Envelope) copyID {
	c := e.Copy()
	return digest(c.Origin.String() + " " + strconv.Itoa(c.Redrive) + " " + strconv.Itoa(c.Hop))
}

// journeyID names a record from one redrive to the next, over all its hops.
func journeyID(e *record.Envelope) copyID {
	return digest(e.Event.Origin.String() + " " + strconv.Itoa(e.Redrive.Count))
}

func digest(s string) copyID {
	sum := sha256.Sum256([]byte(s))
	return copyID(sum[:len(copyID{})])
}
