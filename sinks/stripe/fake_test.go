package stripe_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// fakeStripe is the little of Stripe that the sink uses: objects, strongly
// consistent lists and idempotency keys.
type fakeStripe struct {
	mu      sync.Mutex
	objects []map[string]any
	keys    map[string]stored
}

type stored struct{ request, answer string }

func newFake() *fakeStripe { return &fakeStripe{keys: map[string]stored{}} }

// count returns how many objects of a kind exist.
func (f *fakeStripe) count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, o := range f.objects {
		if o["object"] == kind {
			n++
		}
	}
	return n
}

func (f *fakeStripe) forgetKeys() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = map[string]stored{}
}

func (f *fakeStripe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_fake")
	if r.Method == http.MethodGet {
		f.list(w, r.URL)
		return
	}
	body, _ := io.ReadAll(r.Body)
	key, request := r.Header.Get("Idempotency-Key"), r.URL.Path+"?"+string(body)
	if before, known := f.keys[key]; known {
		if before.request != request {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":{"type":"idempotency_error","message":"other parameters"}}`)
			return
		}
		w.Header().Set("Idempotent-Replayed", "true")
		_, _ = io.WriteString(w, before.answer)
		return
	}
	values, _ := url.ParseQuery(string(body))
	answer, _ := json.Marshal(f.write(r.URL.Path, values))
	f.keys[key] = stored{request, string(answer)}
	_, _ = w.Write(answer)
}

func (f *fakeStripe) write(path string, values url.Values) map[string]any {
	if id, isFinalize := strings.CutSuffix(strings.TrimPrefix(path, "/v1/invoices/"), "/finalize"); isFinalize {
		for _, o := range f.objects {
			if o["id"] == id {
				o["status"] = "open"
				return o
			}
		}
	}
	kind := strings.TrimSuffix(strings.TrimPrefix(path, "/v1/"), "s")
	o := map[string]any{"id": fmt.Sprintf("%s_%d", kind, len(f.objects)+1), "object": kind, "status": "draft"}
	metadata := map[string]string{}
	for name := range values {
		if inner, ok := strings.CutPrefix(name, "metadata["); ok {
			metadata[strings.TrimSuffix(inner, "]")] = values.Get(name)
		} else {
			o[name] = values.Get(name)
		}
	}
	o["metadata"] = metadata
	f.objects = append(f.objects, o)
	return o
}

// list answers newest first, one object a page, so that paging is used.
func (f *fakeStripe) list(w io.Writer, u *url.URL) {
	q := u.Query()
	var found []map[string]any
	for _, o := range slices.Backward(f.objects) {
		fits := strings.HasPrefix(u.Path, "/v1/"+fmt.Sprint(o["object"])+"s")
		for _, filter := range []string{"email", "customer", "invoice"} {
			fits = fits && (q.Get(filter) == "" || o[filter] == q.Get(filter))
		}
		if fits {
			found = append(found, o)
		}
	}
	if after := q.Get("starting_after"); after != "" {
		for len(found) > 0 && found[0]["id"] != after {
			found = found[1:]
		}
		found = found[min(1, len(found)):]
	}
	page := found[:min(1, len(found))]
	if strings.HasPrefix(u.Path, "/v1/customers") {
		page = found
	}
	text, _ := json.Marshal(map[string]any{"object": "list", "data": page, "has_more": len(found) > len(page)})
	_, _ = w.Write(text)
}
