package delivery

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"holdfast.internal/internal/kafka"
)

// ErrFenced is why a worker ends whose instance name another process has.
var ErrFenced = errors.New("another process runs under this instance name")

// rivalGone is how long the brokers refuse a name at most whose last holder is
// gone: a killed start of this worker whose join came late, or a ghost. Who has
// it for longer lives.
const rivalGone = kafka.Session + 5*time.Second

// rival is another process under this worker's name, as the brokers tell of it.
// They give a name to who joined last (with KIP-848: to who has it), and refuse
// the other, which the client tries again by itself.
type rival struct {
	mu    sync.Mutex
	since time.Time // zero while nobody refuses
	why   string
}

// met takes in an error of the group. It returns [ErrFenced] where this worker
// is to make room.
func (r *rival) met(now time.Time, instance string, err error) error {
	fenced := errors.Is(err, kerr.FencedInstanceID)
	if !fenced && !errors.Is(err, kerr.UnreleasedInstanceID) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		r.since, r.why = now, ErrFenced.Error()
		if !fenced {
			r.why = "the brokers keep this instance name for a process that has it, or had it until it was killed"
		}
	}
	if fenced && now.Sub(r.since) > rivalGone {
		return fmt.Errorf("instance %q: %w", instance, ErrFenced)
	}
	return nil
}

// gone notes that the name is this worker's.
func (r *rival) gone() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.why = time.Time{}, ""
}

// trouble says so in words, "" if there is none.
func (r *rival) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why
}
