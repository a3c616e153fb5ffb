package dlq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/scan"
	"holdfast.internal/internal/topics"
)

// State says what became of a dead letter.
type State string

// The states. Acknowledged means that somebody looks after the letter; it can
// still be redriven.
const (
	Open         State = "open"
	Redriven     State = "redriven"
	Discarded    State = "discarded"
	Acknowledged State = "acknowledged"
)

func (s State) known() bool {
	return s == Redriven || s == Discarded || s == Acknowledged
}

// closed reports whether nothing is left to do for the letter.
func (s State) closed() bool { return s == Redriven || s == Discarded }

// Disposition is what a person decided about one dead letter: the value of a
// record on holdfast.dispositions, whose key is the letter's coordinates.
type Disposition struct {
	State  State     `json:"state"`
	Job    string    `json:"job,omitempty"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// record renders the disposition of one letter.
func (d Disposition) record(letter holdfast.Coordinates) (*kgo.Record, error) {
	value, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode disposition: %w", err)
	}
	return &kgo.Record{Topic: topics.Dispositions, Key: []byte(letter.String()), Value: value}, nil
}

// readDisposition opens a record of holdfast.dispositions. A tombstone gives
// an open letter; ok is false for what is none of ours.
func readDisposition(r *kgo.Record) (letter holdfast.Coordinates, d Disposition, ok bool) {
	letter, err := holdfast.ParseCoordinates(string(r.Key))
	if err != nil {
		return letter, d, false
	}
	if r.Value == nil {
		return letter, Disposition{State: Open}, true
	}
	if json.Unmarshal(r.Value, &d) != nil || !d.State.known() {
		return letter, d, false
	}
	return letter, d, true
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
		at, d, ok := readDisposition(r)
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
		if _, d, ok := readDisposition(r); ok {
			last = &d
			if d.State == Open {
				last = nil
			}
		}
	})
	return last, err
}

func (b *Box) dispositions(ctx context.Context, each func(*kgo.Record)) error {
	extents, err := scan.Measure(ctx, b.Admin, topics.Dispositions)
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
