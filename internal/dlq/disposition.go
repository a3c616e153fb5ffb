package dlq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// State says what became of a dead letter; [disposition] says what each means.
type State = disposition.State

// The states. Parked is no disposition: the record waits behind an earlier
// dead letter of its key, and the worker sends it when that one is closed.
const (
	Open         = disposition.Open
	Redriven     = disposition.Redriven
	Discarded    = disposition.Discarded
	Skipped      = disposition.Skipped
	Released     = disposition.Released
	Acknowledged = disposition.Acknowledged

	Parked State = "parked"
)

// Disposition is what was decided about one dead letter.
type Disposition = disposition.Disposition

// stateOf is the state of a letter that a disposition says nothing about.
func stateOf(e *record.Envelope, decided State) State {
	if decided == Open && e.Parked() {
		return Parked
	}
	return decided
}

// spot is a letter within one dead-letter topic.
type spot struct {
	partition int32
	offset    int64
}

// states are the dispositions of one dead-letter topic; a letter without one is open.
type states map[spot]State

func (s states) of(partition int32, offset int64) State {
	if state, ok := s[spot{partition, offset}]; ok {
		return state
	}
	return Open
}

// states reads what became of the letters of one topic. A cluster without the
// topic of dispositions has none.
func (b *Box) states(ctx context.Context) (states, error) {
	out := states{}
	prefix := []byte(b.Target.Letters() + "-")
	err := b.dispositions(ctx, func(r *kgo.Record) {
		if !bytes.HasPrefix(r.Key, prefix) {
			return
		}
		at, d, ok := disposition.Read(r)
		if !ok || at.Topic != b.Target.Letters() {
			return
		}
		if d.State == Open {
			delete(out, spot{at.Partition, at.Offset})
			return
		}
		out[spot{at.Partition, at.Offset}] = d.State
	})
	return out, err
}

// Disposition reads what became of one letter; nil if nothing did.
func (b *Box) Disposition(ctx context.Context, letter holdfast.Coordinates) (*Disposition, error) {
	var last *Disposition
	key := letter.String()
	err := b.dispositions(ctx, func(r *kgo.Record) {
		if string(r.Key) != key {
			return
		}
		if _, d, ok := disposition.Read(r); ok {
			last = &d
			if d.State == Open {
				last = nil
			}
		}
	})
	return last, err
}

func (b *Box) dispositions(ctx context.Context, each func(*kgo.Record)) error {
	extents, err := scan.Measure(ctx, b.admin(), topics.Dispositions)
	if errors.Is(err, scan.ErrNoTopic) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dispositions: %w", err)
	}
	result, err := b.Scanner.Read(ctx, extents.Whole(), scan.Budget{}, func(r *kgo.Record) error {
		each(r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("dispositions: %w", err)
	}
	if result.Partial != "" { // unread, a closed letter would look open
		return fmt.Errorf("dispositions: %s", result.Partial)
	}
	return nil
}

// validReason refuses an act that nobody could explain later.
func validReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return ErrNoReason
	}
	return nil
}
