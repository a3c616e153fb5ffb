package http_test

import (
	"errors"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast.internal"
	"holdfast.internal/sinks"
	sinkhttp "holdfast.internal/sinks/http"
	"holdfast.internal/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ok() http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
}

func invoice(n int) *sinks.Attempt {
	return sinktest.Attempt("invoice-"+strconv.Itoa(n), "customer-"+strconv.Itoa(n), sinktest.Value{
		Name: "crm.Invoice",
		Record: map[string]any{
			"number": "R-" + strconv.Itoa(n), "name": sinktest.CanaryText, "total": big.NewRat(1999, 100),
			"issued":   time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC),
			"customer": map[string]any{"id": "a/b ä"},
		},
	})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	sinktest.RunHTTP(t, sinktest.Suite{
		New: func(tb testing.TB, url string, d sinks.Deps) sinks.Sink {
			tb.Helper()
			return open(tb, sinkhttp.Config{URL: url, Auth: sinkhttp.Auth{Bearer: sinktest.CanarySecret}}, d)
		},
		Attempt: invoice, Healthy: func() http.Handler { return ok() }, KeyHeader: "Idempotency-Key",
	})
}

func open(tb testing.TB, cfg sinkhttp.Config, d sinks.Deps) sinks.Sink {
	tb.Helper()
	s, err := sinkhttp.New(cfg, d)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// deliver sends one attempt and returns the request that arrived.
func deliver(t *testing.T, cfg sinkhttp.Config, a *sinks.Attempt) sinktest.Request {
	t.Helper()
	vendor := sinktest.NewVendor(t, ok())
	cfg.BaseURL = vendor.URL
	if err := open(t, cfg, sinktest.Deps(t, 20*time.Second)).Deliver(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return vendor.Requests()[0]
}

func TestRequest(t *testing.T) {
	t.Parallel()
	a := invoice(1)
	a.Number = 3
	a.Event.Key = []byte("käse 1\n")
	got := deliver(t, sinkhttp.Config{URL: "/in", Headers: map[string]string{"x-team": "billing"}}, a)
	if got.Method != http.MethodPost || got.Path != "/in" {
		t.Errorf("got %s %s", got.Method, got.Path)
	}
	const body = `{"customer":{"id":"a/b ä"},"issued":"2026-11-24T08:00:00Z","name":"Canary Payload","number":"R-1","total":"19.99"}`
	if got.Body != body {
		t.Errorf("body %s\nwant %s", got.Body, body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Team": "billing", "Holdfast-Event-Id": "invoice-1", "Holdfast-Attempt": "3",
		"Holdfast-Key": "k%C3%A4se%201%0A", "Idempotency-Key": holdfast.IdempotencyKey("test", "invoice-1", "", 0),
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if _, there := got.Header["Accept-Encoding"]; there {
		t.Error("asks for compression")
	}
}

func TestVariantsOfTheRequest(t *testing.T) {
	t.Parallel()
	keyless := invoice(1)
	keyless.Event.Key = nil
	tests := map[string]struct {
		cfg    sinkhttp.Config
		a      *sinks.Attempt
		header string
		want   string
	}{
		"a quoted key":           {sinkhttp.Config{Idempotency: sinkhttp.Idempotency{Quote: true}}, invoice(1), "Idempotency-Key", `"` + holdfast.IdempotencyKey("test", "invoice-1", "", 0) + `"`},
		"a key of another name":  {sinkhttp.Config{Idempotency: sinkhttp.Idempotency{Header: "x-once"}}, invoice(1), "X-Once", holdfast.IdempotencyKey("test", "invoice-1", "", 0)},
		"a bearer token":         {sinkhttp.Config{Auth: sinkhttp.Auth{Bearer: "t"}}, invoice(1), "Authorization", "Bearer t"},
		"a user and password":    {sinkhttp.Config{Auth: sinkhttp.Auth{Username: "u", Password: "p"}}, invoice(1), "Authorization", "Basic dTpw"},
		"a header of the vendor": {sinkhttp.Config{Auth: sinkhttp.Auth{Header: "X-Api-Key", Value: "v"}}, invoice(1), "X-Api-Key", "v"},
		"no key, no field":       {sinkhttp.Config{}, keyless, "Holdfast-Key", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := deliver(t, tt.cfg, tt.a).Header.Get(tt.header); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.header, got, tt.want)
			}
		})
	}
}

func TestURLTemplates(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ url, want string }{
		"the base URL alone":          {"", "/"},
		"a path":                      {"v1/x", "/v1/x"},
		"the key":                     {"/k/{key}", "/k/customer-1"},
		"a field":                     {"/i/{number}/send", "/i/R-1/send"},
		"a nested field, escaped":     {"/c/{customer.id}", "/c/a%2Fb%20%C3%A4"},
		"a field in the query":        {"/c?id={customer.id}&n={number}", "/c?id=a%2Fb+%C3%A4&n=R-1"},
		"a decimal and a time, plain": {"/{total}/{issued}", "/19.99/2026-11-24T08:00:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := deliver(t, sinkhttp.Config{URL: tt.url}, invoice(1)).Path; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestPlaceholdersNeverChooseWhereARequestGoes(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]any{
		"a climb": "..", "a dot": ".", "nothing": "", "a null": nil, "a record": map[string]any{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vendor := sinktest.NewVendor(t, ok())
			a := invoice(1)
			a.Event.Value = sinktest.Value{Name: "x.X", Record: map[string]any{"f": value}}
			err := open(t, sinkhttp.Config{URL: vendor.URL + "/a/{f}/b"}, sinktest.Deps(t, 20*time.Second)).Deliver(t.Context(), a)
			if v, f := holdfast.Judge(err); v != holdfast.VerdictPermanent || f.Code != "url_placeholder" {
				t.Errorf("got %v", err)
			}
			if n := len(vendor.Requests()); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestAConflictIsRetriedOnceAndThenFinal(t *testing.T) {
	t.Parallel()
	vendor := sinktest.NewVendor(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	sink := open(t, sinkhttp.Config{URL: vendor.URL}, sinktest.Deps(t, 20*time.Second))
	a := invoice(1)
	expect := func(want holdfast.Verdict) {
		t.Helper()
		if got, f := holdfast.Judge(sink.Deliver(t.Context(), a)); got != want {
			t.Fatalf("attempt %d: got %s %s, want %s", a.Number, got, f, want)
		}
		a = sinktest.Again(a)
	}
	expect(holdfast.VerdictTransient) // a 503 is no conflict: it does not use up the one retry
	vendor.Answer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }))
	expect(holdfast.VerdictTransient)
	expect(holdfast.VerdictPermanent)
}

// TestReceiptNamesTheRequest by what the vendor calls it, but for what is no
// identifier, or repeats what was sent.
func TestReceiptNamesTheRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ field, value, want string }{
		"Stripe's name":       {"Request-Id", "req_1", "req_1"},
		"the usual name":      {"X-Request-Id", "7f3a-11", "7f3a-11"},
		"a correlation":       {"X-Correlation-Id", "c:1", "c:1"},
		"none":                {"X-Other", "req_1", ""},
		"no identifier":       {"X-Request-Id", "ana@example.com", ""},
		"longer than any":     {"X-Request-Id", strings.Repeat("x", 4096), ""},
		"what we sent is not": {"X-Request-Id", "R-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vendor := sinktest.NewVendor(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(c.field, c.value) }))
			a := invoice(1)
			if err := open(t, sinkhttp.Config{URL: vendor.URL}, sinktest.Deps(t, 20*time.Second)).Deliver(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if a.Receipt.RequestID != c.want {
				t.Errorf("%q, want %q", a.Receipt.RequestID, c.want)
			}
		})
	}
}

func TestConfigErrorsNameKeyAndRule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg  sinkhttp.Config
		want []string
	}{
		"no URL at all":                {sinkhttp.Config{}, []string{"base_url", "must be given"}},
		"another scheme":               {sinkhttp.Config{URL: "ftp://x.example/"}, []string{"url", "https://"}},
		"no host":                      {sinkhttp.Config{URL: "https:///x"}, []string{"url", "host"}},
		"a placeholder in the host":    {sinkhttp.Config{URL: "https://{tenant}.x.example/"}, []string{"url", "host without placeholders"}},
		"a port that there is not":     {sinkhttp.Config{URL: "https://x.example:99110/"}, []string{"url", "99110", "65535"}},
		"a user in the URL":            {sinkhttp.Config{URL: "https://u:secretpassword@x.example/"}, []string{"url", "auth"}},
		"an open brace":                {sinkhttp.Config{URL: "https://x.example/{key"}, []string{"url", "braces"}},
		"a closed brace":               {sinkhttp.Config{URL: "https://x.example/key}"}, []string{"url", "braces"}},
		"a strange name":               {sinkhttp.Config{URL: "https://x.example/{a-b}"}, []string{"url", "braces"}},
		"a fragment":                   {sinkhttp.Config{URL: "https://x.example/#x"}, []string{"url", "fragment"}},
		"a method that reads":          {sinkhttp.Config{URL: "https://x.example/", Method: "GET"}, []string{"method", `"GET"`, "POST"}},
		"a header of ours":             {sinkhttp.Config{URL: "https://x.example/", Headers: map[string]string{"holdfast-key": "x"}}, []string{"headers", "Holdfast-Key"}},
		"a header that splits":         {sinkhttp.Config{URL: "https://x.example/", Headers: map[string]string{"X-A": "a\r\nB: c"}}, []string{"headers", "X-A", "control characters"}},
		"a header that is no name":     {sinkhttp.Config{URL: "https://x.example/", Headers: map[string]string{"X A": "a"}}, []string{"headers", `"X A"`}},
		"a key where it is not sent":   {sinkhttp.Config{URL: "https://x.example/", Idempotency: sinkhttp.Idempotency{Header: "content-length"}}, []string{"idempotency.header", "Content-Length"}},
		"a key in the event's place":   {sinkhttp.Config{URL: "https://x.example/", Idempotency: sinkhttp.Idempotency{Header: "Holdfast-Event-Id"}}, []string{"idempotency.header", "Holdfast-Event-Id"}},
		"a key in the token's place":   {sinkhttp.Config{URL: "https://x.example/", Idempotency: sinkhttp.Idempotency{Header: "Authorization"}}, []string{"idempotency.header", "Authorization"}},
		"a header in the key's place":  {sinkhttp.Config{URL: "https://x.example/", Idempotency: sinkhttp.Idempotency{Header: "X-Key"}, Headers: map[string]string{"x-key": "a"}}, []string{"headers", "X-Key"}},
		"a token where it is not sent": {sinkhttp.Config{URL: "https://x.example/", Auth: sinkhttp.Auth{Header: "Host", Value: "secretpassword"}}, []string{"auth.header", "Host"}},
		"a token in the key's place":   {sinkhttp.Config{URL: "https://x.example/", Auth: sinkhttp.Auth{Header: "Idempotency-Key", Value: "secretpassword"}}, []string{"auth.header", "Idempotency-Key"}},
		"two ways to authenticate":     {sinkhttp.Config{URL: "https://x.example/", Auth: sinkhttp.Auth{Bearer: "secretpassword", Username: "u"}}, []string{"auth", "only one"}},
		"a header without its value":   {sinkhttp.Config{URL: "https://x.example/", Auth: sinkhttp.Auth{Header: "X-Api-Key"}}, []string{"auth", "together"}},
		"a token with a line break":    {sinkhttp.Config{URL: "https://x.example/", Auth: sinkhttp.Auth{Bearer: "secretpassword\n"}}, []string{"auth", "line break"}},
		"a negative time-out":          {sinkhttp.Config{URL: "https://x.example/", Timeout: -1}, []string{"timeout", "negative"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.cfg.Validate()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "secretpassword") {
				t.Errorf("%q shows a secret", err)
			}
			if _, opened := sinkhttp.New(tt.cfg, sinks.Deps{}); opened == nil || errors.Is(opened, nil) {
				t.Error("New accepted it")
			}
		})
	}
}

func BenchmarkDeliver(b *testing.B) {
	vendor := sinktest.NewVendor(b, ok())
	sink := open(b, sinkhttp.Config{URL: vendor.URL}, sinktest.Deps(b, 20*time.Second))
	a := invoice(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := sink.Deliver(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}
