// Package disposition says what became of dead letters: the records of the
// compacted topic holdfast.dispositions, keyed by a letter's coordinates.
// People write them with `holdfast dlq`, and a worker where a record leaves
// the dead-letter topic by itself; both read them.
package disposition

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/topics"
)

// State says what became of a dead letter.
type State string

// The states. Acknowledged means that somebody looks after the letter; it can
// still be redriven, and what follows it still waits. Skipped gives up the
// letter's turn, discarded the letter itself. Released is written by workers
// alone: a record that waited there went on.
const (
	Open         State = "open"
	Redriven     State = "redriven"
	Discarded    State = "discarded"
	Skipped      State = "skipped"
	Released     State = "released"
	Acknowledged State = "acknowledged"
)

func (s State) known() bool { return s.Closed() || s == Acknowledged }

// Closed reports whether nothing is left to do for the letter.
func (s State) Closed() bool {
	return s == Redriven || s == Discarded || s == Skipped || s == Released
}

// Disposition is what was decided about one dead letter.
type Disposition struct {
	State  State     `json:"state"`
	Job    string    `json:"job,omitempty"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Record renders the disposition of one letter.
func (d Disposition) Record(letter holdfast.Coordinates) (*kgo.Record, error) {
	value, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode disposition: %w", err)
	}
	return &kgo.Record{Topic: topics.Dispositions, Key: []byte(letter.String()), Value: value}, nil
}

// Read opens a record of holdfast.dispositions. A tombstone gives an open
// letter; ok is false for what is none of ours.
func Read(r *kgo.Record) (letter holdfast.Coordinates, d Disposition, ok bool) {
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

// Partitioner places a disposition by its key, whoever writes it, so that the
// last word about a letter is the last one in its partition.
func Partitioner() kgo.Partitioner { return kgo.StickyKeyPartitioner(nil) }
