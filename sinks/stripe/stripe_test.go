package stripe_test

import (
	"crypto/sha256"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast.internal"
	"holdfast.internal/sinks"
	"holdfast.internal/sinks/sinktest"
	"holdfast.internal/sinks/stripe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func command(n int) *sinks.Attempt {
	id := strconv.Itoa(n)
	return of("invoice-"+id, "c-"+id, "ada"+id+"@example.com")
}

func of(event, who, email string) *sinks.Attempt {
	customer := map[string]any{"id": who, "name": sinktest.CanaryText, "email": email, "phone": nil}
	if email == "" {
		customer["email"] = nil
	}
	return sinktest.Attempt(event, who, sinktest.Value{Name: "billing.InvoiceCommand", Record: map[string]any{
		"invoice_id": "R-" + event, "description": nil, "currency": "EUR", "days_until_due": int32(30), "customer": customer,
		"lines": []any{
			map[string]any{"description": "one", "amount": big.NewRat(1999, 100)},
			map[string]any{"description": nil, "amount": big.NewRat(5, 1)},
		},
	}})
}

func open(tb testing.TB, url string, d sinks.Deps) sinks.Reconciler {
	tb.Helper()
	s, err := stripe.New(stripe.Config{BaseURL: url, Auth: stripe.Auth{APIKey: sinktest.CanarySecret}}, d)
	if err != nil {
		tb.Fatal(err)
	}
	reconciler, ok := s.(sinks.Reconciler)
	if !ok {
		tb.Fatal("the sink cannot look up")
	}
	return reconciler
}

func TestConformance(t *testing.T) {
	t.Parallel()
	verdicts := map[int]holdfast.Verdict{}
	sinktest.RunHTTP(t, sinktest.Suite{
		New: func(tb testing.TB, url string, d sinks.Deps) sinks.Sink {
			tb.Helper()
			return open(tb, url, d)
		},
		Attempt: command, Healthy: func() http.Handler { return newFake() }, KeyHeader: "Idempotency-Key", Verdicts: withStatus(verdicts),
	})
}

// withStatus adds where Stripe's rules differ from the generic ones.
func withStatus(verdicts map[int]holdfast.Verdict) map[int]holdfast.Verdict {
	verdicts[http.StatusFailedDependency] = holdfast.VerdictTransient
	return verdicts
}

// world is a fake Stripe and a sink for it.
func world(t *testing.T) (*fakeStripe, *sinktest.Vendor, sinks.Reconciler) {
	t.Helper()
	fake := newFake()
	vendor := sinktest.NewVendor(t, fake)
	return fake, vendor, open(t, vendor.URL, sinktest.Deps(t, 20*time.Second))
}

func deliver(t *testing.T, s sinks.Sink, a *sinks.Attempt) {
	t.Helper()
	if err := s.Deliver(t.Context(), a); err != nil {
		t.Fatalf("%s: %v", a.Event.ID, err)
	}
}

func (f *fakeStripe) expect(t *testing.T, customers, invoices, items int) {
	t.Helper()
	if c, i, l := f.count("customer"), f.count("invoice"), f.count("invoiceitem"); c != customers || i != invoices || l != items {
		t.Errorf("%d customers, %d invoices, %d items; want %d, %d, %d", c, i, l, customers, invoices, items)
	}
}

func TestOneInvoicePerEvent(t *testing.T) {
	t.Parallel()
	fake, vendor, sink := world(t)
	a := command(1)
	deliver(t, sink, a)
	deliver(t, sink, command(1)) // as after a kill: nothing was kept
	fake.expect(t, 1, 1, 2)
	if !strings.HasPrefix(a.Receipt.ObjectID, "invoice_") || a.Receipt.RequestID != "req_fake" || a.Receipt.Duplicate {
		t.Errorf("receipt %+v", a.Receipt)
	}
	var paths []string
	for _, r := range vendor.Requests()[:6] {
		path, _, _ := strings.Cut(r.Path, "?")
		paths = append(paths, r.Method+" "+path)
		if r.Header.Get("Stripe-Version") != "2026-08-26.dahlia" || r.Header.Get("Authorization") != "Bearer "+sinktest.CanarySecret {
			t.Errorf("headers %v", r.Header)
		}
	}
	want := []string{"GET /v1/customers", "POST /v1/customers", "POST /v1/invoices", "POST /v1/invoiceitems", "POST /v1/invoiceitems", "POST /v1/invoices/invoice_2/finalize"}
	if !slices.Equal(paths, want) {
		t.Errorf("requests %v", paths)
	}
}

func TestTheFrozenRequestHoldsNoCredentials(t *testing.T) {
	t.Parallel()
	_, _, sink := world(t)
	a := command(1)
	deliver(t, sink, a)
	if len(a.Request) == 0 || strings.Contains(string(a.Request), sinktest.CanarySecret) || len(a.Progress) > 2<<10 {
		t.Errorf("request %q, progress %q", a.Request, a.Progress)
	}
}

func TestACustomerOfManyInvoicesIsMadeOnce(t *testing.T) {
	t.Parallel()
	for name, email := range map[string]string{"with an address": "ada@example.com", "without one": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, _, sink := world(t)
			var wg sync.WaitGroup
			for n := range 8 { // keyed by invoice, these may run at once, on many workers
				wg.Go(func() {
					if err := sink.Deliver(t.Context(), of("e"+strconv.Itoa(n), "c-1", email)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			fake.forgetKeys() // a day later
			deliver(t, sink, of("later", "c-1", email))
			fake.expect(t, 1, 9, 18)
		})
	}
}

func TestTwoCustomersWithOneAddressStayTwo(t *testing.T) {
	t.Parallel()
	fake, _, sink := world(t)
	deliver(t, sink, of("e1", "c-1", "office@example.com"))
	deliver(t, sink, of("e2", "c-2", "office@example.com"))
	fake.expect(t, 2, 2, 4)
}

// interrupted fails the nth request of the first attempt, after it took effect
// or before, and returns that attempt.
func interrupted(t *testing.T, nth int, applied bool) (*fakeStripe, sinks.Reconciler, *sinks.Attempt) {
	t.Helper()
	fake := newFake()
	var mu sync.Mutex
	seen := 0
	vendor := sinktest.NewVendor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen++
		fails := seen == nth
		mu.Unlock()
		if !fails {
			fake.ServeHTTP(w, r)
			return
		}
		if applied {
			fake.ServeHTTP(discard{http.Header{}}, r)
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	sink := open(t, vendor.URL, sinktest.Deps(t, 20*time.Second))
	a := command(1)
	a.First = time.Now()
	if v, _ := holdfast.Judge(sink.Deliver(t.Context(), a)); v != holdfast.VerdictTransient {
		t.Fatalf("request %d: got %s, want transient", nth, v)
	}
	return fake, sink, a
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// TestAnyRequestMayFail proves P2 for each step: whichever fails, applied or
// not, in time or after Stripe forgot the keys, the event ends as one invoice.
func TestAnyRequestMayFail(t *testing.T) {
	t.Parallel()
	for nth := 1; nth <= 6; nth++ {
		for _, applied := range []bool{false, true} {
			for _, forgotten := range []bool{false, true} {
				t.Run(strconv.Itoa(nth)+" applied "+strconv.FormatBool(applied)+" forgotten "+strconv.FormatBool(forgotten), func(t *testing.T) {
					t.Parallel()
					fake, sink, a := interrupted(t, nth, applied)
					a = sinktest.Again(a)
					if forgotten {
						fake.forgetKeys()
						done, err := sink.LookUp(t.Context(), a)
						if err != nil || done != (applied && nth == 6) {
							t.Fatalf("LookUp = %v, %v", done, err)
						}
						if done {
							fake.expect(t, 1, 1, 2)
							return
						}
					}
					deliver(t, sink, a)
					fake.expect(t, 1, 1, 2)
				})
			}
		}
	}
}

func TestTheNextAttemptGoesOnWhereTheLastStopped(t *testing.T) {
	t.Parallel()
	fake, _, a := interrupted(t, 5, false) // the second item
	vendor := sinktest.NewVendor(t, fake)
	deliver(t, open(t, vendor.URL, sinktest.Deps(t, 20*time.Second)), sinktest.Again(a))
	if n := len(vendor.Requests()); n != 2 {
		t.Errorf("%d requests, want the second item and finalize", n)
	}
	fake.expect(t, 1, 1, 2)
}

func TestLookUpBeforeAnythingWasMade(t *testing.T) {
	t.Parallel()
	fake, _, sink := world(t)
	done, err := sink.LookUp(t.Context(), command(1))
	if done || err != nil {
		t.Fatalf("LookUp = %v, %v", done, err)
	}
	fake.expect(t, 0, 0, 0)
	if sink.KeyWindow() >= 24*time.Hour {
		t.Errorf("window %v: Stripe may have forgotten by then", sink.KeyWindow())
	}
}

func TestOtherBytesUnderTheKeyAreLookedUp(t *testing.T) {
	t.Parallel()
	fake, _, sink := world(t)
	deliver(t, sink, command(1))
	deployed := command(1) // killed, deployed, started: nothing kept, another rendering
	value, _ := deployed.Event.Value.(sinktest.Value)
	value.Record["days_until_due"] = int32(14)
	verdict, f := holdfast.Judge(sink.Deliver(t.Context(), deployed))
	if verdict != holdfast.VerdictUnknown || f.Code != "idempotency_error" {
		t.Fatalf("got %s %s", verdict, f)
	}
	if done, err := sink.LookUp(t.Context(), deployed); !done || err != nil {
		t.Fatalf("LookUp = %v, %v", done, err)
	}
	fake.expect(t, 1, 1, 2)
}

func TestARenderingThatDiffersFromTheKeptSumLooksFirst(t *testing.T) {
	t.Parallel()
	fake, _, sink := world(t)
	deliver(t, sink, command(1))
	a := command(1)
	sum := sha256.Sum256([]byte("another rendering"))
	a.RequestSum = sum[:]
	deliver(t, sink, a)
	if !a.Receipt.Duplicate {
		t.Error("the receipt must say that Stripe had it already")
	}
	fake.expect(t, 1, 1, 2)
}

func TestAStored500IsUnknown(t *testing.T) {
	t.Parallel()
	vendor := sinktest.NewVendor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"data":[]}`))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Stripe-Should-Retry", "false")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"error":{"type":"api_error","message":"x"}}`))
	}))
	sink := open(t, vendor.URL, sinktest.Deps(t, 20*time.Second))
	if v, _ := holdfast.Judge(sink.Deliver(t.Context(), command(1))); v != holdfast.VerdictUnknown {
		t.Fatalf("got %s", v)
	}
}

func TestAnAnswerCannotSteerTheNextRequest(t *testing.T) {
	t.Parallel()
	vendor := sinktest.NewVendor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"data":[]}`))
			return
		}
		_, _ = w.Write([]byte(`{"id":"../accounts?x="}`))
	}))
	sink := open(t, vendor.URL, sinktest.Deps(t, 20*time.Second))
	if v, f := holdfast.Judge(sink.Deliver(t.Context(), command(1))); v != holdfast.VerdictTransient || f.Code != "no_id" {
		t.Fatalf("got %s %s", v, f)
	}
	if n := len(vendor.Requests()); n != 2 {
		t.Errorf("%d requests, want the look and the customer alone", n)
	}
}

func TestARecordOfAnotherShapeIsPermanent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"invoice_id", "currency", "days_until_due", "customer", "lines"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, vendor, sink := world(t)
			a := command(1)
			value, _ := a.Event.Value.(sinktest.Value)
			value.Record[name] = 1.5
			err := sink.Deliver(t.Context(), a)
			if v, f := holdfast.Judge(err); v != holdfast.VerdictPermanent || f.Class != holdfast.ClassValidation || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
			if len(vendor.Requests()) != 0 {
				t.Error("something was sent")
			}
		})
	}
}

func TestConfigErrorsNameKeyAndRule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg  stripe.Config
		want []string
	}{
		"no key":                   {stripe.Config{}, []string{"auth.api_key", "must be given"}},
		"a key with a line break":  {stripe.Config{Auth: stripe.Auth{APIKey: "secretpassword\n"}}, []string{"auth.api_key", "line break"}},
		"a base URL that is none":  {stripe.Config{BaseURL: "stripe", Auth: stripe.Auth{APIKey: "k"}}, []string{"base_url", "https://"}},
		"a base URL with a user":   {stripe.Config{BaseURL: "https://u:secretpassword@x.example", Auth: stripe.Auth{APIKey: "k"}}, []string{"base_url"}},
		"a version out of the air": {stripe.Config{APIVersion: "latest", Auth: stripe.Auth{APIKey: "k"}}, []string{"api_version", `"latest"`}},
		"a negative time-out":      {stripe.Config{Timeout: -1, Auth: stripe.Auth{APIKey: "k"}}, []string{"timeout", "negative"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := stripe.New(tt.cfg, sinks.Deps{})
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
		})
	}
}
