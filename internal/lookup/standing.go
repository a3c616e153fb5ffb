package lookup

import (
	"cmp"
	"context"
	"time"

	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/sinkstate"
)

// Standing is how one sink stands. Its field names are an interface for scripts.
type Standing struct {
	Sink string `json:"sink"`
	// Workers is how many members its group has; null where nobody may ask, or
	// the group's coordinator does not answer.
	Workers *int `json:"workers"`
	// Breaker is closed, half_open or open, as the running workers say; null
	// where none does.
	Breaker *string `json:"breaker"`
	// Held is throttled, unauthorized or mapping; endpoint where Endpoint alone
	// is throttled and all else goes on; "" where nothing is held.
	Held string `json:"held"`
	// NextAt is when the hold ends, or one record is tried, or the endpoint is
	// free again, the first of these that there is; null for none.
	NextAt *time.Time `json:"next_at"`
	Next   string     `json:"next"` // the same in words
	// Tenants is how many tenants this is about; 0 is the whole sink.
	Tenants int `json:"tenants"`
	// Endpoint is one that is throttled beside what Held says; "" for none.
	Endpoint string `json:"endpoint"`
	// EndpointUntil is when it is free again; null for none.
	EndpointUntil *time.Time `json:"endpoint_until"`
	// Waits is schema or registry, where some records cannot be read yet; "" where all can.
	Waits string `json:"waits"`
}

// HeldEndpoint is what Held is of a sink that is held at one endpoint alone.
const HeldEndpoint = "endpoint"

// Standings tells of every sink, in the order of the configuration.
func (l *Lookup) Standings(ctx context.Context) ([]Standing, error) {
	states, err := l.states(ctx)
	if err != nil {
		return nil, err
	}
	workers := l.workers(ctx)
	out := []Standing{}
	for _, t := range l.Targets {
		if !t.Processor {
			out = append(out, l.standing(t, states, workers(t)))
		}
	}
	return out, nil
}

func (l *Lookup) states(ctx context.Context) (map[string]sinkstate.State, error) {
	return sinkstate.Read(ctx, l.admin(), l.Scanner, l.now())
}

// standing is what is known of one sink. That all is well is no news of a sink
// that nobody runs any more.
func (l *Lookup) standing(t dlq.Target, states map[string]sinkstate.State, workers *int) Standing {
	st := Standing{Sink: t.Name, Workers: workers}
	s, ok := states[t.Name]
	if !ok || s.Plain() && workers != nil && *workers == 0 {
		return st
	}
	st.Breaker = new(string(s.Breaker))
	st.Held, st.Tenants, st.Waits, st.Next = string(s.Held), s.Tenants, string(s.Waits), s.Next(l.now())
	if s.Endpoint != "" {
		st.Endpoint, st.EndpointUntil = s.Endpoint, moment(s.FreeAt)
		st.Held = cmp.Or(st.Held, HeldEndpoint)
	}
	switch {
	case s.Held != sinkstate.NotHeld:
		st.NextAt = moment(s.Until)
	case s.Breaker == sinkstate.Open:
		st.NextAt = moment(s.ProbeAt)
	case s.Endpoint != "":
		st.NextAt = st.EndpointUntil
	}
	return st
}
