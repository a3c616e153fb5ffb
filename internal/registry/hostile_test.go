package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast.internal"
)

// moods are the ways in which a registry misbehaves, and what becomes of a
// record whose id needs it: held where it may be an outage, dead where the
// answer itself is what is wrong.
func moods() map[string]struct {
	answer  func(http.ResponseWriter, *http.Request) bool
	verdict holdfast.Verdict
	code    string
} {
	says := func(status int, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return true
		}
	}
	schema := func(text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			_ = json.NewEncoder(w).Encode(map[string]string{"schema": text})
			return true
		}
	}
	wide := func(n int) string {
		return `{"type":"record","name":"R","doc":"` + strings.Repeat("x", n) + `","fields":[]}`
	}
	return map[string]struct {
		answer  func(http.ResponseWriter, *http.Request) bool
		verdict holdfast.Verdict
		code    string
	}{
		"silent":                   {silent, holdfast.VerdictUnavailable, "registry_down"},
		"500":                      {says(500, `{"error_code":50001,"message":"store"}`), holdfast.VerdictUnavailable, "registry_down"},
		"401":                      {says(401, `{"error_code":40101,"message":"who"}`), holdfast.VerdictUnavailable, "registry_down"},
		"HTML instead of JSON":     {says(200, "<html><body>Welcome</body></html>"), holdfast.VerdictUnavailable, "registry_down"},
		"404 of a proxy":           {says(404, "<html>not found</html>"), holdfast.VerdictUnavailable, "registry_down"},
		"404 of a wrong base path": {says(404, `{"error_code":0,"message":"RESTEASY003210: Could not find resource"}`), holdfast.VerdictUnavailable, "registry_down"},
		"10 MiB of an error page":  {says(502, strings.Repeat("x", 10<<20)), holdfast.VerdictUnavailable, "registry_down"},
		"10 MiB schema":            {schema(wide(10 << 20)), holdfast.VerdictPermanent, "foreign_schema"},
		"10,000 deep schema":       {schema(strings.Repeat(`{"type":"array","items":`, 10_000) + `"int"` + strings.Repeat("}", 10_000)), holdfast.VerdictPermanent, "foreign_schema"},
		"no schema in the answer":  {says(200, `{}`), holdfast.VerdictPermanent, "foreign_schema"},
		"a schema that doubles":    {schema(doubling(30)), holdfast.VerdictPermanent, "foreign_schema"},
	}
}

// doubling is a union of n records, each with two fields of the one before it:
// small and flat, and 2^n fields to who expands it.
func doubling(n int) string {
	records := []string{`{"type":"record","name":"R0","fields":[]}`}
	for i := range n {
		records = append(records, fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":"R%d"},{"name":"b","type":"R%d"}]}`, i+1, i, i))
	}
	return "[" + strings.Join(records, ",") + "]"
}

// TestHostileRegistry: no answer costs more than its bounds, and known ids go
// on meanwhile as if nothing were.
func TestHostileRegistry(t *testing.T) {
	t.Parallel()
	for name, test := range moods() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t)
				known := framed(o.register(shipments+"-value", latest(t, "inventory.Shipment")), shipment(t))
				o.want(shipments, known, holdfast.VerdictDelivered, "")
				o.feels(test.answer)
				began := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					o.want(shipments, framed(99, nil), test.verdict, test.code)
				}()
				synctest.Wait()
				stalled := time.Now()
				o.want(shipments, known, holdfast.VerdictDelivered, "")
				if d := time.Since(stalled); d != 0 {
					t.Errorf("a known id stalled for %s", d)
				}
				<-done
				if took := time.Since(began); took > requestTimeout {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// TestHugeAnswersAreNotHeld: what a 64 MiB answer makes us allocate.
func TestHugeAnswersAreNotHeld(t *testing.T) { //nolint:paralleltest // measures the process's allocations
	block := []byte(strings.Repeat("x", 64<<10))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"schema":"`)
		for range 1 << 10 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	client, err := NewClient(Config{URL: server.URL, Transport: server.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	serde := NewSerde(client)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = serde.Open(t.Context(), shipments, framed(9, nil), nil)
	runtime.ReadMemStats(&after)
	if verdict, f := holdfast.Judge(err); verdict != holdfast.VerdictPermanent || f.Code != "foreign_schema" {
		t.Errorf("%v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("allocated %d MiB", used>>20)
	} else {
		t.Logf("allocated %d KiB for a 64 MiB answer", used>>10)
	}
}
