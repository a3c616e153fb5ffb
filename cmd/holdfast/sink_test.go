package main

import (
	"bytes"
	"testing"

	"holdfast.internal/internal/lookup"
	"holdfast.internal/internal/sinkstate"
)

// TestWhatAResumeSays: people read before what it will change, and after what
// it has not.
func TestWhatAResumeSays(t *testing.T) {
	t.Parallel()
	closed, open := string(sinkstate.Closed), string(sinkstate.Open)
	held := func(why string) lookup.Standing {
		return lookup.Standing{Sink: "s", Workers: new(1), Breaker: &closed, Held: why, Next: "NEXT"}
	}
	atEndpoint := held(lookup.HeldEndpoint)
	atEndpoint.Endpoint = "a.list"
	const (
		goes  = "j: s was told to go on"
		stays = " stays throttled until the vendor's time is over; --throttled ends that too"
	)
	for name, c := range map[string]struct {
		standing      lookup.Standing
		throttled     bool
		before, after string
	}{
		"a mapping":                  {held("mapping"), false, "s: NEXT", goes},
		"credentials":                {held("unauthorized"), false, "s: NEXT", goes},
		"a throttle":                 {held("throttled"), false, "s: NEXT; that is the vendor's wish, which --throttled overrules", "j: s" + stays},
		"a throttle, ended":          {held("throttled"), true, "s: NEXT", goes},
		"an endpoint":                {atEndpoint, false, "s: NEXT; that is the vendor's wish, which --throttled overrules", "j: a.list of s" + stays},
		"an endpoint, ended":         {atEndpoint, true, "s: NEXT", goes},
		"a schema that is not known": {held(""), false, "s: NEXT; a resume changes nothing about that", goes},
		"a breaker":                  {lookup.Standing{Sink: "s", Workers: new(1), Breaker: &open, Next: "NEXT"}, false, "s: NEXT; the breaker finds out by itself", goes},
		"nothing":                    {lookup.Standing{Sink: "s", Workers: new(1), Breaker: &closed}, false, "nothing holds s, as far as its workers told", goes},
		"workers that nobody knows": {
			lookup.Standing{Sink: "s"},
			false,
			"s: how many workers run is not known, as the coordinator of their group does not answer, or nobody may ask", goes,
		},
		"nobody": {
			lookup.Standing{Sink: "s", Workers: new(0)},
			false,
			"no worker of s is running: nobody hears it, and a worker that starts is held by what its vendor asked for alone", goes,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var notes bytes.Buffer
			explainHold(&globals{err: &notes}, c.standing, c.throttled)
			if got := notes.String(); got != c.before+"\n" {
				t.Errorf("before: %q, want %q", got, c.before)
			}
			r := resumeResult{Job: "j", Sink: "s", Held: c.standing.Held, Endpoint: c.standing.Endpoint, throttled: c.throttled}
			if got := r.String(); got != c.after {
				t.Errorf("after: %q, want %q", got, c.after)
			}
		})
	}
}
