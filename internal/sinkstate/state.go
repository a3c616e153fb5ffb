// Package sinkstate says how sinks stand: whether their workers may send, and
// if not, why and until when. Each worker has a record of its own on the
// compacted topic holdfast.sinks, which tools read, and workers that start.
//
// What a worker says is believed for a minute, as it may be dead since; that
// all is well is believed for longer, as it is said once an hour. What a vendor
// has asked for binds the next worker too, until it is over ([Throttles]).
package sinkstate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/topics"
)

// Breaker is where the breaker of a sink stands; of several tenants, the worst.
type Breaker string

// The states of a breaker.
const (
	Closed   Breaker = "closed"
	HalfOpen Breaker = "half_open" // one record is on its way to see
	Open     Breaker = "open"
)

// Hold says why a sink sends nothing for a while.
type Hold string

// The reasons, the gravest last. `holdfast sink resume` ends those that are ours,
// and Throttled where --throttled is given.
const (
	NotHeld      Hold = ""
	Throttled    Hold = "throttled"    // the vendor named a time
	Unauthorized Hold = "unauthorized" // credentials are refused
	Mapping      Hold = "mapping"      // the dead-letter budget is empty
)

// Wait says why some records cannot be read yet. Others go on meanwhile.
type Wait string

// The waits.
const (
	NoWait   Wait = ""
	Schema   Wait = "schema"   // the registry does not know the id
	Registry Wait = "registry" // it does not answer
)

// State is how one worker's part of a sink stands.
type State struct {
	Sink    string  `json:"sink"`
	Worker  string  `json:"worker"`
	Breaker Breaker `json:"breaker"`
	// ProbeAt is when an open breaker lets one record try; it may be over while
	// there is none.
	ProbeAt time.Time `json:"probe_at,omitzero"`
	Held    Hold      `json:"held,omitempty"`
	// Until is when the hold ends, or one record is tried.
	Until time.Time `json:"until,omitzero"`
	// Tenants is how many tenants all this is about; 0 is the whole sink.
	Tenants int `json:"tenants,omitempty"`
	// Endpoint is one that is throttled until FreeAt, beside which all else goes
	// on; of several, of a tenant or not, the one that is held longest.
	Endpoint string    `json:"endpoint,omitempty"`
	FreeAt   time.Time `json:"free_at,omitzero"`
	Waits    Wait      `json:"waits,omitempty"`
	At       time.Time `json:"at"`
}

// Plain reports whether records go as they come.
func (s State) Plain() bool { return s.sends() && s.Endpoint == "" && s.Waits == NoWait }

func (s State) sends() bool { return s.Breaker == Closed && s.Held == NotHeld }

// Blocked reports whether the whole sink sends nothing.
func (s State) Blocked() bool { return s.Tenants == 0 && (s.Breaker == Open || s.Held != NotHeld) }

// Next says in words what happens next, such as "probe in 40s"; "" where
// records go as they come.
func (s State) Next(now time.Time) string {
	parts := []string{s.held(now)}
	if s.Endpoint != "" {
		parts = append(parts, s.Endpoint+" throttled, goes on "+in(s.FreeAt, now))
	}
	switch s.Waits {
	case Registry:
		parts = append(parts, "the schema registry does not answer")
	case Schema:
		parts = append(parts, "some records wait for a schema")
	case NoWait:
	}
	return strings.TrimPrefix(strings.Join(parts, "; "), "; ")
}

// held is what the destination is waited for.
func (s State) held(now time.Time) string {
	text := ""
	switch {
	case s.Held == Mapping:
		text = "mapping held, try " + in(s.Until, now)
	case s.Held == Unauthorized:
		text = "credentials refused, try " + in(s.Until, now)
	case s.Held == Throttled:
		text = "throttled, goes on " + in(s.Until, now)
	case s.Breaker == Open:
		text = "probe " + in(s.ProbeAt, now)
	case s.Breaker == HalfOpen:
		text = "probe under way"
	}
	switch {
	case text == "" || s.Tenants == 0:
		return text
	case s.Tenants == 1:
		return text + " (1 tenant)"
	}
	return text + " (" + strconv.Itoa(s.Tenants) + " tenants)"
}

func in(at, now time.Time) string {
	d := at.Sub(now).Round(time.Second)
	if d <= 0 {
		return "with the next record"
	}
	return "in " + d.String()
}

// same reports whether two states differ in nothing but their time.
func same(a, b State) bool {
	a.At = b.At
	return a == b
}

// worse joins what two workers say of a sink: the graver of each part.
func worse(a, b State) State {
	waits, longest := a.Waits, a
	if b.Waits == Registry || waits == NoWait {
		waits = b.Waits
	}
	if c := b.FreeAt.Compare(a.FreeAt); c > 0 || c == 0 && b.Endpoint < a.Endpoint {
		longest = b
	}
	if a.sends() {
		a, b = b, a
	}
	a.Waits, a.Endpoint, a.FreeAt = waits, longest.Endpoint, longest.FreeAt
	if b.sends() {
		return a
	}
	if c := cmp.Compare(rank(b.Breaker), rank(a.Breaker)); c > 0 || c == 0 && b.ProbeAt.After(a.ProbeAt) {
		a.Breaker, a.ProbeAt = b.Breaker, b.ProbeAt
	}
	if c := cmp.Compare(grave(b.Held), grave(a.Held)); c > 0 || c == 0 && b.Until.After(a.Until) {
		a.Held, a.Until = b.Held, b.Until
	}
	if a.Tenants == 0 || b.Tenants == 0 { // the whole sink, for one of them
		a.Tenants = 0
	} else {
		a.Tenants = max(a.Tenants, b.Tenants)
	}
	return a
}

func rank(b Breaker) int { return map[Breaker]int{Closed: 1, HalfOpen: 2, Open: 3}[b] }

func grave(h Hold) int { return map[Hold]int{Throttled: 1, Unauthorized: 2, Mapping: 3}[h] }

// Record renders the state for holdfast.sinks.
func (s State) Record() (*kgo.Record, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode state of sink: %w", err)
	}
	return &kgo.Record{Topic: topics.Sinks, Key: s.key(), Value: value}, nil
}

func (s State) key() []byte { return []byte(s.Sink + "/" + s.Worker) }
