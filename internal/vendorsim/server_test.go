package vendorsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast.internal/internal/vendorsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a simulator with a client of it.
type shop struct {
	t      *testing.T
	server *vendorsim.Server
	client *http.Client
}

func open(t *testing.T, o vendorsim.Options) *shop {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	server, err := vendorsim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return &shop{t: t, server: server, client: &http.Client{Transport: transport}}
}

// reply is an answer; status 0 is none.
type reply struct {
	status   int
	body     string
	replayed bool
	reason   string // of a rate limit
}

func (r reply) field(t *testing.T, name string) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(r.body), &object); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	if inner, ok := object["error"].(map[string]any); ok {
		object = inner
	}
	s, _ := object[name].(string)
	return s
}

func (s *shop) send(ctx context.Context, method, path, key, body string, headers ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, s.server.URL()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_1")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return reply{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Error(err)
	}
	return reply{resp.StatusCode, string(text), resp.Header.Get("Idempotent-Replayed") == "true", resp.Header.Get("Stripe-Rate-Limited-Reason")}
}

func (s *shop) post(path, key string, pairs ...string) reply {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return s.send(s.t.Context(), http.MethodPost, path, key, form.Encode())
}

// hook posts an event to the plain endpoint.
func (s *shop) hook(event, key, body string) reply {
	s.t.Helper()
	return s.send(s.t.Context(), http.MethodPost, "/hooks/x", key, body, "Holdfast-Event-Id", event)
}

func (s *shop) faults(text string) {
	s.t.Helper()
	if r := s.send(s.t.Context(), http.MethodPost, "/_sim/faults", "", text); r.status != http.StatusOK {
		s.t.Fatalf("faults %s: %d %s", text, r.status, r.body)
	}
}

// applied is the ledger's line of a business key.
func (s *shop) applied(event string) vendorsim.Applied {
	s.t.Helper()
	lines := s.server.Applied()
	if i := slices.IndexFunc(lines, func(a vendorsim.Applied) bool { return a.BusinessKey == event }); i >= 0 {
		return lines[i]
	}
	return vendorsim.Applied{}
}

// await waits until an event is applied as often as this, and no oftener.
func (s *shop) await(event string, applies int) {
	s.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.applied(event).Applies < applies {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("ledger %+v, want %d", s.applied(event), applies)
		}
	}
	if a := s.applied(event); a.Applies != applies {
		s.t.Errorf("ledger %+v, want %d", a, applies)
	}
}

// invoice makes one with an item and finalizes it, every step under a key.
func (s *shop) invoice(event string) (customer, invoice string) {
	s.t.Helper()
	ok := func(r reply) string {
		s.t.Helper()
		if r.status != http.StatusOK {
			s.t.Fatalf("%d %s", r.status, r.body)
		}
		return r.field(s.t, "id")
	}
	customer = ok(s.post("/v1/customers", event+"/c", "email", event+"@example.com"))
	invoice = ok(s.post("/v1/invoices", event+"/i", "customer", customer, "metadata[holdfast_event_id]", event))
	ok(s.post("/v1/invoiceitems", event+"/l", "customer", customer, "invoice", invoice, "amount", "100", "currency", "eur"))
	ok(s.post("/v1/invoices/"+invoice+"/finalize", event+"/f"))
	return customer, invoice
}

// TestOneKeyOneEffect: the same request again gets the same answer, and
// applies nothing; any other under the key is refused and applies nothing.
func TestOneKeyOneEffect(t *testing.T) {
	t.Parallel()
	s := open(t, vendorsim.Options{})
	customer, _ := s.invoice("e0")
	form := []string{"customer", customer, "metadata[holdfast_event_id]", "e1"}
	first := s.post("/v1/invoices", "k1", form...)
	again := s.post("/v1/invoices", "k1", form...)
	if first.status != 200 || first.replayed || again.body != first.body || !again.replayed {
		t.Errorf("first %+v, again %+v", first, again)
	}
	for name, r := range map[string]reply{
		"other parameters":     s.post("/v1/invoices", "k1", append(form, "description", "x")...),
		"another endpoint":     s.post("/v1/customers", "k1", form...),
		"the hook of that key": s.hook("e1", "k1", "x"),
	} {
		if r.status != http.StatusBadRequest || r.field(t, "type") != "idempotency_error" || r.replayed {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if a := s.applied("e1"); a.Applies != 1 || a.Requests != 4 || a.IdempotencyKey != "k1" || a.Object != "invoice" {
		t.Errorf("ledger %+v", a)
	}
	other := s.post("/v1/invoices", "k2", form...)
	if other.field(t, "id") == first.field(t, "id") || s.applied("e1").Applies != 2 {
		t.Errorf("under another key: %+v, ledger %+v", other, s.applied("e1"))
	}
}

// TestOneKeyAtOnce: of many at the same time one applies.
func TestOneKeyAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, vendorsim.Options{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if r := s.hook("e", "k", "same"); r.status != http.StatusOK {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
	if a := s.applied("e"); a.Applies != 1 || a.Requests != 20 {
		t.Errorf("ledger %+v", a)
	}
}

// TestRefusals are not stored where Stripe does not store them, so the mended
// request may use the key, and are where it does.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := open(t, vendorsim.Options{})
	customer, invoice := s.invoice("e0")
	for name, test := range map[string]struct {
		path  string
		form  []string
		param string
		code  string
	}{
		"a parameter that is none": {"/v1/customers", []string{"emial", "a@b.c"}, "emial", "parameter_unknown"},
		"no such customer":         {"/v1/invoices", []string{"customer", "cus_none"}, "customer", "resource_missing"},
		"no currency":              {"/v1/invoices", []string{"customer", customer, "currency", "EURO"}, "currency", "parameter_invalid_string"},
		"no due date":              {"/v1/invoices", []string{"customer", customer, "collection_method", "send_invoice"}, "days_until_due", "parameter_missing"},
		"an amount that is none":   {"/v1/invoiceitems", []string{"invoice", s.post("/v1/invoices", "", "customer", customer).field(t, "id"), "amount", "1.5"}, "amount", "parameter_invalid_integer"},
		"an item of a closed one":  {"/v1/invoiceitems", []string{"invoice", invoice, "amount", "1"}, "invoice", "invoice_not_editable"},
		"finalized twice":          {"/v1/invoices/" + invoice + "/finalize", nil, "id", "invoice_not_editable"},
	} {
		r := s.post(test.path, "refused "+name, test.form...)
		if r.status != http.StatusBadRequest || r.field(t, "param") != test.param || r.field(t, "code") != test.code {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := s.post("/v1/customers", "refused a parameter that is none", "email", "a@b.c"); r.status != http.StatusOK || r.replayed {
		t.Errorf("mended under the same key: %+v", r)
	}
	if r := s.send(t.Context(), http.MethodPost, "/v1/customers", "", "", "Authorization", "Bearer nothing"); r.status != http.StatusUnauthorized {
		t.Errorf("no key: %+v", r)
	}
	if r := s.send(t.Context(), http.MethodPost, "/_sim/refuse", "", `{"events":["bad"]}`); r.status != http.StatusOK {
		t.Fatalf("%+v", r)
	}
	declined := s.post("/v1/invoices", "kd", "customer", customer, "metadata[holdfast_event_id]", "bad-1")
	if r := s.send(t.Context(), http.MethodDelete, "/_sim/refuse", "", ""); r.status != http.StatusOK {
		t.Fatalf("%+v", r)
	}
	again := s.post("/v1/invoices", "kd", "customer", customer, "metadata[holdfast_event_id]", "bad-1")
	fresh := s.post("/v1/invoices", "kd2", "customer", customer, "metadata[holdfast_event_id]", "bad-1")
	if declined.status != http.StatusPaymentRequired || again.status != http.StatusPaymentRequired || !again.replayed || fresh.status != http.StatusOK {
		t.Errorf("declined %+v, again %+v, under a new key %+v", declined, again, fresh)
	}
	if a := s.applied("bad-1"); a.Applies != 1 || a.IdempotencyKey != "kd2" {
		t.Errorf("ledger %+v", a)
	}
}

// TestLimits: the endpoint's and the account's, each named in the answer. The
// rates are so low that a slow test is not given a second token.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := open(t, vendorsim.Options{Rate: 0.001, EndpointRate: 0})
	if r := s.hook("a", "", "x"); r.status != http.StatusOK {
		t.Errorf("the first: %+v", r)
	}
	for _, r := range []reply{s.hook("b", "", "x"), s.post("/v1/customers", "")} {
		if r.status != http.StatusTooManyRequests || r.reason != "global-rate" || r.field(t, "code") != "rate_limit" {
			t.Errorf("over the account's limit: %+v", r)
		}
	}
	if a := s.applied("b"); a.Applies != 0 {
		t.Errorf("what was limited took effect: %+v", a)
	}
	s = open(t, vendorsim.Options{EndpointRate: 0.001})
	first, second, elsewhere := s.post("/v1/customers", ""), s.post("/v1/customers", ""), s.hook("a", "", "x")
	if first.status != 200 || second.status != 429 || second.reason != "endpoint-rate" || elsewhere.status != 200 {
		t.Errorf("endpoint: %+v, %+v, elsewhere %+v", first, second, elsewhere)
	}
}

// TestFaults: each kind fails as it says, before or after the effect, and the
// key brings whatever took effect back.
func TestFaults(t *testing.T) { //nolint:tparallel // see below
	t.Parallel()
	s := open(t, vendorsim.Options{})
	for kind, want := range map[string]struct{ status, applies int }{ //nolint:paralleltest // the faults are the server's, of one kind at a time
		"400": {400, 0}, "401": {401, 0}, "402": {402, 0}, "403": {403, 0}, "409": {409, 0}, "429": {429, 0},
		"500": {500, 0}, "502": {502, 0}, "503": {503, 0}, "504": {504, 0},
		"reset": {0, 0}, "hang": {0, 0}, "timeout": {0, 0}, "applied_then_reset": {0, 1}, "applied_then_timeout": {0, 1},
	} {
		t.Run(kind, func(t *testing.T) {
			s.faults(`{"kinds":["` + kind + `"],"rate":1}`)
			ctx := t.Context()
			if strings.Contains(kind, "hang") || strings.Contains(kind, "timeout") { // answers nobody
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			if r := s.send(ctx, http.MethodPost, "/hooks/x", kind, "body", "Holdfast-Event-Id", kind); r.status != want.status {
				t.Errorf("%+v", r)
			}
			s.await(kind, want.applies)
			s.faults(`{}`)
			mended := s.hook(kind, kind, "body")
			if a := s.applied(kind); mended.status != http.StatusOK || mended.replayed != (want.applies == 1) || a.Applies != 1 {
				t.Errorf("mended: %+v, ledger %+v", mended, a)
			}
		})
	}
}

// TestFaultsHaveBounds: of rate, of hits per event, and of time.
func TestFaultsHaveBounds(t *testing.T) {
	t.Parallel()
	s := open(t, vendorsim.Options{})
	s.faults(`{"kinds":["503"],"rate":1,"max_per_event":3}`)
	for _, event := range []string{"a", "b"} {
		var got []int
		for range 5 {
			got = append(got, s.hook(event, event, "x").status)
		}
		if !slices.Equal(got, []int{503, 503, 503, 200, 200}) {
			t.Errorf("%s: %v", event, got)
		}
	}
	s.faults(`{"kinds":["503"],"rate":0.2}`)
	failed := 0
	for range 1000 {
		if s.hook("c", "", "x").status == http.StatusServiceUnavailable {
			failed++
		}
	}
	if failed < 130 || failed > 270 { // five and a half standard deviations
		t.Errorf("%d of 1000 failed at a rate of 0.2", failed)
	}
	s.faults(`{"kinds":["503"],"rate":1,"for":"1ns"}`)
	if r := s.hook("d", "", "x"); r.status != http.StatusOK {
		t.Errorf("after its time: %+v", r)
	}
	for _, text := range []string{`{"kinds":["418"],"rate":1}`, `{"kinds":["503"],"rate":1,"for":"soon"}`, `nonsense`} {
		if r := s.send(t.Context(), http.MethodPost, "/_sim/faults", "", text); r.status != http.StatusBadRequest {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

// TestKeptOverARestart: the ledger, the objects and what is stored under keys.
func TestKeptOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := open(t, vendorsim.Options{DataDir: dir})
	customer, invoice := before.invoice("e1")
	hooked := before.hook("h1", "kh", "x")
	ledger := before.server.Applied()
	before.server.Close()

	s := open(t, vendorsim.Options{DataDir: dir})
	if got := s.server.Applied(); !slices.EqualFunc(got, ledger, same) {
		t.Errorf("ledger %+v\nwas %+v", got, ledger)
	}
	if r := s.hook("h1", "kh", "x"); r.body != hooked.body || !r.replayed || s.applied("h1").Applies != 1 {
		t.Errorf("again under its key: %+v, ledger %+v", r, s.applied("h1"))
	}
	if r := s.hook("h1", "kh", "y"); r.status != http.StatusBadRequest {
		t.Errorf("another under its key: %+v", r)
	}
	if r := s.send(t.Context(), http.MethodGet, "/v1/invoices/"+invoice, "", ""); r.field(t, "status") != "open" || r.field(t, "customer") != customer {
		t.Errorf("the invoice: %+v", r)
	}
	next := s.post("/v1/invoices", "", "customer", customer)
	if id := next.field(t, "id"); id == "" || id == invoice {
		t.Errorf("a new invoice has id %q, the old %q", id, invoice)
	}
	if r := s.send(t.Context(), http.MethodPost, "/_sim/reset", "", ""); r.status != http.StatusOK || len(s.server.Applied()) != 0 {
		t.Errorf("reset: %+v", r)
	}
	s.hook("h2", "k2", "x")
	s.server.Close()
	s = open(t, vendorsim.Options{DataDir: dir})
	if got := s.server.Applied(); len(got) != 1 || got[0].BusinessKey != "h2" {
		t.Errorf("after a reset and a restart: %+v", got)
	}
}

func same(a, b vendorsim.Applied) bool {
	equal := a.FirstAt.Equal(b.FirstAt) && a.LastAt.Equal(b.LastAt)
	a.FirstAt, a.LastAt, b.FirstAt, b.LastAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return equal && a == b
}

// TestLookups: by id, by metadata and by customer, newest first, in pages.
func TestLookups(t *testing.T) {
	t.Parallel()
	s := open(t, vendorsim.Options{})
	_, one := s.invoice("it's 1")
	customer, two := s.invoice("e2")
	list := func(query url.Values, path string) []string {
		r := s.send(t.Context(), http.MethodGet, path+"?"+query.Encode(), "", "")
		var page struct {
			Data []struct{ ID string } `json:"data"`
		}
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			t.Fatal(errors.Join(err, errors.New(r.body)))
		}
		var ids []string
		for _, o := range page.Data {
			ids = append(ids, o.ID)
		}
		return ids
	}
	if got := list(url.Values{"query": {`metadata['holdfast_event_id']:'it\'s 1'`}}, "/v1/invoices/search"); !slices.Equal(got, []string{one}) {
		t.Errorf("search: %v", got)
	}
	if got := list(url.Values{"customer": {customer}}, "/v1/invoices"); !slices.Equal(got, []string{two}) {
		t.Errorf("of a customer: %v", got)
	}
	if got := list(url.Values{"limit": {"1"}}, "/v1/invoices"); !slices.Equal(got, []string{two}) {
		t.Errorf("the newest: %v", got)
	}
	if r := s.send(t.Context(), http.MethodGet, "/v1/invoices/in_none", "", ""); r.status != http.StatusNotFound {
		t.Errorf("no such invoice: %+v", r)
	}
}
