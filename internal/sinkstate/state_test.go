package sinkstate

import (
	"testing"
	"time"
)

func TestNextInWords(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)
	in40 := now.Add(40 * time.Second)
	for want, s := range map[string]State{
		"":                                        {Breaker: Closed},
		"probe in 40s":                            {Breaker: Open, ProbeAt: in40},
		"probe with the next record":              {Breaker: Open, ProbeAt: now},
		"probe under way":                         {Breaker: HalfOpen},
		"throttled, goes on in 40s":               {Breaker: Closed, Held: Throttled, Until: in40},
		"credentials refused, try in 40s":         {Breaker: Closed, Held: Unauthorized, Until: in40},
		"mapping held, try in 40s":                {Breaker: Open, Held: Mapping, Until: in40, ProbeAt: now},
		"probe in 40s (1 tenant)":                 {Breaker: Open, ProbeAt: in40, Tenants: 1},
		"mapping held, try in 40s (3 tenants)":    {Breaker: Closed, Held: Mapping, Until: in40, Tenants: 3},
		"some records wait for a schema":          {Breaker: Closed, Waits: Schema},
		"orders.create throttled, goes on in 40s": {Breaker: Closed, Endpoint: "orders.create", FreeAt: in40},
		"probe in 40s; orders.create throttled, goes on in 40s; some records wait for a schema": {
			Breaker: Open, ProbeAt: in40, Endpoint: "orders.create", FreeAt: in40, Waits: Schema,
		},
		"probe in 40s (1 tenant); the schema registry does not answer": {Breaker: Open, ProbeAt: in40, Tenants: 1, Waits: Registry},
	} {
		if got := s.Next(now); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
		if s.Endpoint != "" && s.Held == NotHeld && s.Breaker == Closed && s.Blocked() {
			t.Errorf("%+v: blocked by one endpoint", s)
		}
		if s.Plain() != (want == "") {
			t.Errorf("%+v: plain is %v", s, s.Plain())
		}
	}
}

func TestOfTwoWorkersTheGraverWordsCount(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)
	plain := State{Breaker: Closed, At: now}
	open := State{Breaker: Open, ProbeAt: now.Add(time.Second), At: now}
	later := State{Breaker: Open, ProbeAt: now.Add(time.Minute), At: now}
	held := State{Breaker: Closed, Held: Throttled, Until: now.Add(time.Hour), At: now}
	mapping := State{Breaker: HalfOpen, Held: Mapping, Until: now.Add(time.Second), At: now}
	tenant := State{Breaker: Open, ProbeAt: now, Tenants: 2, At: now}
	schema := State{Breaker: Closed, Waits: Schema, At: now}
	registry := State{Breaker: Closed, Waits: Registry, At: now}
	endpoint := State{Breaker: Closed, Endpoint: "a", FreeAt: now.Add(time.Second), At: now}
	other := State{Breaker: Closed, Endpoint: "b", FreeAt: now.Add(time.Minute), At: now}
	for name, c := range map[string]struct{ a, b, want State }{
		"an endpoint, and nobody":  {endpoint, plain, endpoint},
		"the endpoint held longer": {endpoint, other, other},
		"an endpoint, and all":     {endpoint, held, State{Breaker: Closed, Held: Throttled, Until: held.Until, Endpoint: "a", FreeAt: endpoint.FreeAt, At: now}},
		"one is well":              {plain, open, open},
		"both are":                 {plain, plain, plain},
		"the later probe":          {open, later, later},
		"breaker and hold":         {open, held, State{Breaker: Open, ProbeAt: open.ProbeAt, Held: Throttled, Until: held.Until, At: now}},
		"the graver hold":          {held, mapping, State{Breaker: HalfOpen, Held: Mapping, Until: mapping.Until, At: now}},
		"tenants, and nobody":      {tenant, plain, tenant},
		"a schema, and nobody":     {schema, plain, schema},
		"a schema, and a registry": {schema, registry, registry},
		"a schema, and tenants":    {schema, tenant, State{Breaker: Open, ProbeAt: now, Tenants: 2, Waits: Schema, At: now}},
		"tenants, and all":         {tenant, held, State{Breaker: Open, ProbeAt: now, Held: Throttled, Until: held.Until, At: now}},
	} {
		if got := worse(c.a, c.b); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if got := worse(c.b, c.a); got != c.want {
			t.Errorf("%s, the other way: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestWhatIsBelievedOfAWorkerThatMayBeDead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		breaker Breaker
		age     time.Duration
		want    bool
	}{
		"trouble, just now":      {Open, time.Second, true},
		"trouble, a while ago":   {Open, 2 * time.Minute, false},
		"well, a while ago":      {Closed, 90 * time.Minute, true},
		"well, in another age":   {Closed, 3 * time.Hour, false},
		"from a clock that runs": {Open, -time.Minute, true},
	} {
		sinks := join(map[string]State{"s/a": {Sink: "s", Breaker: c.breaker, At: now.Add(-c.age)}}, now)
		if _, got := sinks["s"]; got != c.want {
			t.Errorf("%s: believed is %v", name, got)
		}
	}
}
