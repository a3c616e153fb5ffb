package sinktest

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// RunHTTP runs [Run] and checks how the sink meets statuses, throttles and
// hostile servers.
func RunHTTP(t *testing.T, s Suite) {
	t.Helper()
	Run(t, s)
	cases := map[string]func(t *testing.T, s Suite){
		"every status has its verdict":            statuses,
		"every request is asked for (P6)":         asksForEach,
		"every form of Retry-After is obeyed":     throttles,
		"a hostile server":                        hostile,
		"a hostile server costs little memory":    boundedMemory,
		"a refused connection":                    refused,
		"a redirect is not followed":              redirects,
		"a cancel while the vendor is silent":     cancels,
		"the key stays with the event (P2)":       keyIsStable,
		"the same bytes go again after a failure": frozen,
	}
	for name, check := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, s)
		})
	}
}

func fixed(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

// statuses covers every status but 1xx and 2xx: what a 2xx without the
// vendor's body means is the vendor's own matter.
func statuses(t *testing.T, s Suite) {
	for status := 300; status <= 599; status++ {
		want, own := s.Verdicts[status]
		if !own {
			want, _ = holdfast.Judge(sinks.Classify(&sinks.Exchange{Response: sinks.Response{Status: status}, Number: 1}))
		}
		vendor := NewVendor(t, fixed(status))
		err := s.New(t, vendor.URL, Deps(t, patience)).Deliver(t.Context(), s.Attempt(1))
		got, f := holdfast.Judge(err)
		if got != want || f.Status != status {
			t.Errorf("%d: got %s (%v), want %s", status, got, err, want)
		}
		vendor.Close()
	}
}

func throttles(t *testing.T, s Suite) {
	now := time.Now()
	tests := map[string]struct {
		header   string
		min, max time.Duration
	}{
		"seconds":       {"120", 2 * time.Minute, 2 * time.Minute},
		"decimals":      {"2.5", 2500 * time.Millisecond, 2500 * time.Millisecond},
		"an IMF date":   {now.Add(time.Hour).UTC().Format(http.TimeFormat), 59 * time.Minute, time.Hour},
		"an RFC 850":    {now.Add(time.Hour).UTC().Format("Monday, 02-Jan-06 15:04:05 GMT"), 59 * time.Minute, time.Hour},
		"asctime":       {now.Add(time.Hour).UTC().Format(time.ANSIC), 59 * time.Minute, time.Hour},
		"a past date":   {"Sun, 06 Nov 1994 08:49:37 GMT", 0, 0},
		"negative":      {"-5", 0, 0},
		"text":          {"later", 0, 0},
		"huge":          {"18446744073709551616", 24 * time.Hour, 1 << 62},
		"two at once":   {"1, 3", 3 * time.Second, 3 * time.Second},
		"not there":     {"", 0, 0},
		"zero seconds":  {"0", 0, 0},
		"not a number":  {"NaN", 0, 0},
		"empty seconds": {" ", 0, 0},
	}
	for name, tt := range tests {
		vendor := NewVendor(t, fixed(http.StatusTooManyRequests, "Retry-After", tt.header))
		err := s.New(t, vendor.URL, Deps(t, patience)).Deliver(t.Context(), s.Attempt(1))
		if throttled, ok := errors.AsType[*holdfast.ThrottledError](err); !ok {
			t.Errorf("%s: got %v, want a throttle", name, err)
		} else if throttled.Wait < tt.min || throttled.Wait > tt.max {
			t.Errorf("%s: waits %v, want %v to %v", name, throttled.Wait, tt.min, tt.max)
		}
		vendor.Close()
	}
}

// impatience is how long a sink waits for a server that will never answer.
const impatience = 400 * time.Millisecond

func hostile(t *testing.T, s Suite) {
	for name, h := range hostilities() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vendor := NewVendor(t, h.answer)
			sink := s.New(t, vendor.URL, Deps(t, impatience))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start := time.Now()
			err := sink.Deliver(ctx, s.Attempt(1))
			verdict, f := holdfast.Judge(err)
			if !slices.Contains(h.verdict, verdict) || (h.class != "" && verdict != holdfast.VerdictDelivered && f.Class != h.class) {
				t.Errorf("got %s %s (%v), want %v %s", verdict, f.Class, err, h.verdict, h.class)
			}
			if took := time.Since(start); took > patience/2 {
				t.Errorf("took %v", took)
			}
			leaksNothing(t, err)
		})
	}
}

// boundedMemory proves P11 against the two worst bodies. The server allocates
// too, in this process; 64 MiB tells reading a bomb from refusing one.
func boundedMemory(t *testing.T, s Suite) {
	for name, answer := range map[string]http.HandlerFunc{"giant": giantBody, "bomb": gzipBomb} {
		vendor := NewVendor(t, answer)
		sink := s.New(t, vendor.URL, Deps(t, impatience))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = sink.Deliver(t.Context(), s.Attempt(1))
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 128<<20 {
			t.Errorf("%s: the heap grew by %d MiB", name, grown>>20)
		}
	}
}

func refused(t *testing.T, s Suite) {
	vendor := NewVendor(t, fixed(http.StatusOK))
	url := vendor.URL
	vendor.Close()
	err := s.New(t, url, Deps(t, patience)).Deliver(t.Context(), s.Attempt(1))
	var transient *holdfast.TransientError
	if !errors.As(err, &transient) || !transient.Again || transient.Class != holdfast.ClassNetwork {
		t.Fatalf("got %v, want transient network, again", err)
	}
	leaksNothing(t, err)
}

// redirects proves that a vendor cannot send the payload elsewhere: to a
// second server on loopback, standing in for one inside the network.
func redirects(t *testing.T, s Suite) {
	var inside atomic.Int64
	internal := NewVendor(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	for _, status := range []int{301, 302, 303, 307, 308} {
		vendor := NewVendor(t, fixed(status, "Location", internal.URL))
		err := s.New(t, vendor.URL, Deps(t, patience)).Deliver(t.Context(), s.Attempt(1))
		if _, f := holdfast.Judge(err); f.Class != holdfast.ClassConfig || f.Code != "redirect" {
			t.Errorf("%d: got %v, want config redirect", status, err)
		}
	}
	if n := inside.Load(); n != 0 {
		t.Fatalf("%d requests reached the internal server", n)
	}
}

func cancels(t *testing.T, s Suite) {
	arrived := make(chan struct{}, 8)
	vendor := NewVendor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		hang(w, r)
	}))
	sink := s.New(t, vendor.URL, Deps(t, patience))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- sink.Deliver(ctx, s.Attempt(1)) }()
	<-arrived
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want the context's error", err)
		}
		leaksNothing(t, err)
	case <-time.After(patience):
		t.Fatal("the attempt outlived its context")
	}
}

// keyIsStable proves P2's half of the seam: same event, same keys, whatever
// the attempt; another event, other keys.
func keyIsStable(t *testing.T, s Suite) {
	first, later, other := s.Attempt(1), s.Attempt(1), s.Attempt(2)
	later.Number = 4
	a, b, c := keysOf(t, s, first), keysOf(t, s, later), keysOf(t, s, other)
	if len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("keys of one event: %v, then %v", a, b)
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(a))); len(distinct) != len(a) {
		t.Errorf("steps share a key: %v", a)
	}
	for _, key := range c {
		if slices.Contains(a, key) {
			t.Errorf("two events share key %s", key)
		}
	}
}

func keysOf(t *testing.T, s Suite, a *sinks.Attempt) []string {
	t.Helper()
	vendor := NewVendor(t, s.Healthy())
	if err := s.New(t, vendor.URL, Deps(t, patience)).Deliver(t.Context(), a); err != nil {
		t.Fatalf("got %v", err)
	}
	var keys []string
	for _, r := range vendor.Requests() {
		if key := r.Header.Get(s.KeyHeader); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// frozen fails each request of a delivery in turn after it arrived, and
// expects the next attempt to repeat it byte for byte.
func frozen(t *testing.T, s Suite) {
	for nth := int64(1); ; nth++ {
		var seen atomic.Int64
		healthy := s.Healthy()
		vendor := NewVendor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1) == nth {
				// No reset: over a connection used before, the transport would
				// repeat the request itself.
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			healthy.ServeHTTP(w, r)
		}))
		sink := s.New(t, vendor.URL, Deps(t, patience))
		a := s.Attempt(1)
		err := sink.Deliver(t.Context(), a)
		if seen.Load() < nth {
			return // every request had its turn
		}
		if err == nil {
			t.Fatalf("request %d was answered with 502, and the event counts as delivered", nth)
		}
		failed := vendor.Requests()[nth-1]
		a = Again(a)
		a.Event.Value = Value{Name: a.Event.Value.Schema(), Err: Poison("a frozen request needs no second rendering")}
		if err = sink.Deliver(t.Context(), a); err != nil {
			t.Fatalf("request %d: the next attempt: %v", nth, err)
		}
		if !repeats(vendor.Requests()[nth:], failed, s.KeyHeader) {
			t.Errorf("request %d (%s %s) was not repeated with the same key and bytes", nth, failed.Method, strconv.Quote(failed.Path))
		}
	}
}

func repeats(later []Request, failed Request, keyHeader string) bool {
	return slices.ContainsFunc(later, func(r Request) bool {
		return r.Method == failed.Method && r.Path == failed.Path && r.Body == failed.Body &&
			r.Header.Get(keyHeader) == failed.Header.Get(keyHeader)
	})
}
