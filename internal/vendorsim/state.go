package vendorsim

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// change is one line of the journal: what a request did. It is written before
// the request is answered, so that a vendor killed at any instant knows what
// it took.
type change struct {
	At     time.Time      `json:"at"`
	Key    string         `json:"key,omitempty"`    // idempotency key
	Path   string         `json:"path,omitempty"`   // endpoint
	Params string         `json:"params,omitempty"` // hash of what was sent
	Status int            `json:"status,omitempty"`
	Body   string         `json:"body,omitempty"`
	Object map[string]any `json:"object,omitempty"` // made or changed
	// Event is the business key of what took effect; Kind its object.
	Event   string `json:"event,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Request bool   `json:"request,omitempty"` // counts a request only
}

// Applied is one line of /_sim/applied.
type Applied struct {
	Object         string    `json:"object"`
	BusinessKey    string    `json:"business_key"`
	IdempotencyKey string    `json:"idempotency_key"`
	Applies        int       `json:"applies"`
	Requests       int       `json:"requests"`
	FirstAt        time.Time `json:"first_at"`
	LastAt         time.Time `json:"last_at"`
}

// state is all that the vendor holds.
type state struct {
	path    string
	journal *os.File

	objects map[string]map[string]any // by id
	order   []string                  // ids as they were made
	stored  map[string]change         // answers by idempotency key
	applied map[string]*Applied       // by object and business key
	seen    []string                  // keys of applied, in order
}

func openState(dir string) (*state, error) {
	st := &state{}
	st.clear()
	if dir == "" {
		return st, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	st.path = filepath.Join(dir, "vendor.jsonl")
	text, err := os.ReadFile(st.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1] // a kill may have cut the last line short
	scanner := bufio.NewScanner(bytes.NewReader(whole))
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var c change
		if err := json.Unmarshal(scanner.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("journal %s: %w", st.path, err)
		}
		st.apply(c)
	}
	if len(whole) < len(text) {
		if err := os.Truncate(st.path, int64(len(whole))); err != nil {
			return nil, err
		}
	}
	st.journal, err = os.OpenFile(st.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return st, errors.Join(scanner.Err(), err)
}

func (st *state) clear() {
	st.objects, st.stored, st.applied = map[string]map[string]any{}, map[string]change{}, map[string]*Applied{}
	st.order, st.seen = nil, nil
}

func (st *state) close() {
	if st.journal != nil {
		_ = st.journal.Close()
	}
}

func (st *state) reset() error {
	st.clear()
	if st.journal == nil {
		return nil
	}
	return st.journal.Truncate(0)
}

// commit journals a change and applies it.
func (st *state) commit(c change) error {
	if st.journal != nil {
		b, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if _, err := st.journal.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	st.apply(c)
	return nil
}

func (st *state) apply(c change) {
	if c.Request {
		st.entry(c).Requests++
		return
	}
	if id, ok := c.Object["id"].(string); ok {
		if st.objects[id] == nil {
			st.order = append(st.order, id)
		}
		st.objects[id] = c.Object
	}
	if c.Key != "" {
		st.stored[c.Key] = c
	}
	if c.Kind == "" {
		return
	}
	a := st.entry(c)
	a.Applies++
	a.IdempotencyKey = c.Key
	if a.FirstAt.IsZero() {
		a.FirstAt = c.At
	}
	a.LastAt = c.At
}

func (st *state) entry(c change) *Applied {
	name := c.Kind + "\x00" + c.Event
	a := st.applied[name]
	if a == nil {
		a = &Applied{Object: c.Kind, BusinessKey: c.Event}
		st.applied[name] = a
		st.seen = append(st.seen, name)
	}
	return a
}

// ledger lists what took effect, in the order of the first effect.
func (st *state) ledger() []Applied {
	var out []Applied
	for _, name := range st.seen {
		if a := st.applied[name]; a.Applies > 0 {
			out = append(out, *a)
		}
	}
	slices.SortStableFunc(out, func(a, b Applied) int { return a.FirstAt.Compare(b.FirstAt) })
	return out
}

const eventField = "metadata[holdfast_event_id]"

// eventOf finds the business key of a request: in its own metadata, else in
// that of the invoice that it is about.
func (st *state) eventOf(x *exchange) string {
	if strings.HasPrefix(x.URL.Path, "/hooks/") {
		return x.Header.Get("Holdfast-Event-Id")
	}
	if id := x.form.Get(eventField); id != "" {
		return id
	}
	invoice := x.form.Get("invoice")
	if parts := strings.Split(x.URL.Path, "/"); len(parts) > 3 && parts[2] == "invoices" {
		invoice = parts[3]
	}
	meta, _ := st.objects[invoice]["metadata"].(map[string]any)
	event, _ := meta["holdfast_event_id"].(string)
	return event
}

// countRequest counts a write of an event.
func (st *state) countRequest(x *exchange) {
	if x.Method == http.MethodGet || x.event == "" {
		return
	}
	kind := "invoice"
	if strings.HasPrefix(x.URL.Path, "/hooks/") {
		kind = "hook"
	}
	_ = st.commit(change{At: time.Now().UTC(), Request: true, Event: x.event, Kind: kind})
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
