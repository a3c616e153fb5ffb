package lookup

import (
	"testing"
	"time"

	"holdfast.internal"
	"holdfast.internal/internal/delivery/offsets"
	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/sinkstate"
)

// upTo is a commit without metadata.
func upTo(offset int64) offsets.Settled {
	s, _ := offsets.ReadSettled(offset, "") // no metadata, no error
	return s
}

func TestStateFollowsFromOffsets(t *testing.T) {
	t.Parallel()
	target := dlq.Target{Name: "s", Source: "src", Tiers: []time.Duration{time.Minute}}
	now := time.UnixMilli(1_700_000_000_000)
	failed := record.Envelope{Spent: 1, Failure: holdfast.Failure{Class: holdfast.ClassTimeout}, Due: now}
	later := failed
	later.Due = now.Add(time.Minute)
	at := func(topic string, e record.Envelope) sighting {
		return sighting{at: holdfast.Coordinates{Topic: topic, Offset: 5}, e: &e}
	}
	for name, c := range map[string]struct {
		f    facts
		want State
	}{
		"before the committed offset":              {facts{last: at("src", record.Envelope{}), settled: upTo(6)}, Delivered},
		"the next one, and somebody works":         {facts{last: at("src", record.Envelope{}), settled: upTo(5), busy: true}, InFlight},
		"the next one, and nobody works":           {facts{last: at("src", record.Envelope{}), settled: upTo(5)}, Waiting},
		"further on":                               {facts{last: at("src", record.Envelope{}), settled: upTo(2), busy: true}, Waiting},
		"nothing committed yet":                    {facts{last: at("src", record.Envelope{}), settled: upTo(-1), busy: true}, Waiting},
		"beyond the committed one, with a receipt": {facts{last: at("src", record.Envelope{}), settled: upTo(2), receipt: true}, Delivered},
		"in a tier, due later":                     {facts{last: at("retry.s.1m", later), settled: upTo(5), busy: true}, Retry},
		"in a tier, due, and the next":             {facts{last: at("retry.s.1m", failed), settled: upTo(5), busy: true}, InFlight},
		"in a tier, due, behind others":            {facts{last: at("retry.s.1m", failed), settled: upTo(2), busy: true}, Retry},
		"in a tier, due, and nobody works":         {facts{last: at("retry.s.1m", failed), settled: upTo(5)}, Retry},
		"in a tier without a failure of its own":   {facts{last: at("retry.s.1m", record.Envelope{}), settled: upTo(5)}, Parked},
		"delivered from a tier":                    {facts{last: at("retry.s.1m", failed), settled: upTo(6)}, Delivered},
		"redriven, not read yet":                   {facts{last: at("redrive.s", failed), settled: upTo(1)}, Waiting},
		"redriven, and the next":                   {facts{last: at("redrive.s", failed), settled: upTo(5), busy: true}, InFlight},
		"redriven before its turn":                 {facts{last: at("redrive.s", failed), settled: upTo(5), busy: true, behind: "waits behind it"}, Waiting},
		"dead":                                     {facts{last: at("dlq.s", failed), settled: upTo(-1)}, Dead},
		"dead, and looked after":                   {facts{last: at("dlq.s", failed), disposition: dlq.Acknowledged}, Dead},
		"discarded":                                {facts{last: at("dlq.s", failed), disposition: dlq.Discarded}, Discarded},
		"redriven, and its new copy was not found": {facts{last: at("dlq.s", failed), disposition: dlq.Redriven}, Waiting},
	} {
		c.f.target, c.f.now = target, now
		if got, note := c.f.judge(); got != c.want {
			t.Errorf("%s: %s (%s), want %s", name, got, note, c.want)
		}
	}
}

// Whose fault: what waits for its destination is said to, and not for itself.
func TestARecordThatWaitsForItsDestinationIsSaidTo(t *testing.T) {
	t.Parallel()
	target := dlq.Target{Name: "s", Source: "src", Tiers: []time.Duration{time.Minute}}
	now := time.UnixMilli(1_700_000_000_000)
	unspent := record.Envelope{Failure: holdfast.Failure{Class: holdfast.ClassVendor5xx}, Due: now.Add(time.Minute)}
	spent := unspent
	spent.Spent = 1
	open := sinkstate.State{Breaker: sinkstate.Open, ProbeAt: now.Add(40 * time.Second)}
	tenants := open
	tenants.Tenants = 2
	probing := sinkstate.State{Breaker: sinkstate.HalfOpen}
	at := func(topic string, e record.Envelope) sighting {
		return sighting{at: holdfast.Coordinates{Topic: topic, Offset: 5}, e: &e}
	}
	const forIt = "waits for its destination and not for itself: "
	for name, c := range map[string]struct {
		last    sighting
		settled int64
		sink    sinkstate.State
		want    State
		note    string
	}{
		"first in line, nobody sends":   {at("src", record.Envelope{}), 5, open, Waiting, forIt + "probe in 40s"},
		"first in line of a tier":       {at("retry.s.1m", record.Envelope{Spent: 1, Due: now}), 5, open, Retry, "due; " + forIt + "probe in 40s"},
		"it may be the probe":           {at("src", record.Envelope{}), 5, probing, InFlight, ""},
		"further on":                    {at("src", record.Envelope{}), 2, open, Waiting, forIt + "probe in 40s"},
		"in a tier, for itself too":     {at("retry.s.1m", spent), 2, open, Retry, "due in 1m0s; " + forIt + "probe in 40s"},
		"in a tier, after an outage":    {at("retry.s.1m", unspent), 2, sinkstate.State{}, Retry, "due in 1m0s; " + forIt + "the failure spent no attempt"},
		"in a tier, for itself":         {at("retry.s.1m", spent), 2, sinkstate.State{}, Retry, "due in 1m0s"},
		"whose tenant nobody knows":     {at("src", record.Envelope{}), 2, tenants, Waiting, "some tenants wait for their destination: probe in 40s (2 tenants)"},
		"behind one of its key":         {at("retry.s.1m", record.Envelope{}), 2, open, Parked, "waits behind an earlier record of its key"},
		"first in line, and throttled":  {at("src", record.Envelope{}), 5, sinkstate.State{Breaker: sinkstate.Closed, Endpoint: "orders.create", FreeAt: now.Add(time.Minute)}, InFlight, "orders.create throttled, goes on in 1m0s"},
		"first in line, and no schema":  {at("src", record.Envelope{}), 5, sinkstate.State{Breaker: sinkstate.Closed, Waits: sinkstate.Schema}, InFlight, "some records wait for a schema"},
		"delivered, and then it failed": {at("src", record.Envelope{}), 6, open, Delivered, ""},
	} {
		f := facts{target: target, last: c.last, settled: upTo(c.settled), busy: true, now: now, sink: c.sink}
		if got, note := f.judge(); got != c.want || note != c.note {
			t.Errorf("%s: %s (%s), want %s (%s)", name, got, note, c.want, c.note)
		}
	}
}
