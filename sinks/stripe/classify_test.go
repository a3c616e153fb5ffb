package stripe

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

func headers(pairs ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func problem(kind, code, message string) string {
	text, _ := json.Marshal(map[string]any{"error": map[string]any{"type": kind, "code": code, "message": message}})
	return string(text)
}

func TestClassify(t *testing.T) {
	t.Parallel()
	const invalid = "invalid_request_error"
	tests := map[string]struct {
		status int
		header http.Header
		body   string
		number int
		want   holdfast.Verdict
		class  holdfast.Class
		code   string
	}{
		"made":                             {200, headers("Stripe-Should-Retry", "false"), `{"id":"cus_1"}`, 1, holdfast.VerdictDelivered, "", ""},
		"made before":                      {200, headers("Idempotent-Replayed", "true"), `{"id":"cus_1"}`, 2, holdfast.VerdictDelivered, "", ""},
		"other parameters under the key":   {400, headers(), problem("idempotency_error", "", "Keys for idempotent requests can only be used with the same parameters"), 1, holdfast.VerdictUnknown, holdfast.ClassConflict, "idempotency_error"},
		"another endpoint under the key":   {404, headers(), problem("idempotency_error", "", "can only be used for the same endpoint"), 1, holdfast.VerdictUnknown, holdfast.ClassConflict, "idempotency_error"},
		"an unknown parameter":             {400, headers(), problem(invalid, "parameter_unknown", "Received unknown parameter: x"), 1, holdfast.VerdictDrift, holdfast.ClassContract, "parameter_unknown"},
		"an unknown parameter, no code":    {400, headers(), problem(invalid, "", "Received unknown parameter: x"), 1, holdfast.VerdictDrift, holdfast.ClassContract, ""},
		"a missing parameter":              {400, headers(), problem(invalid, "parameter_missing", "Missing required param: x."), 1, holdfast.VerdictDrift, holdfast.ClassContract, "parameter_missing"},
		"an unknown route":                 {404, headers(), problem(invalid, "", "Unrecognized request URL (POST: /v1/x)."), 1, holdfast.VerdictDrift, holdfast.ClassContract, ""},
		"an unknown version":               {400, headers(), problem(invalid, "", "Invalid Stripe API version: 2020-01-01"), 1, holdfast.VerdictDrift, holdfast.ClassContract, ""},
		"an invalid parameter":             {400, headers("Stripe-Should-Retry", "false"), problem(invalid, "parameter_invalid_integer", "Invalid integer"), 1, holdfast.VerdictPermanent, holdfast.ClassValidation, "parameter_invalid_integer"},
		"an amount too small":              {400, headers(), problem(invalid, "amount_too_small", "x"), 1, holdfast.VerdictPermanent, holdfast.ClassValidation, "amount_too_small"},
		"an object that is not there":      {404, headers(), problem(invalid, "resource_missing", "No such customer"), 1, holdfast.VerdictPermanent, holdfast.ClassNotFound, "resource_missing"},
		"an invalid key":                   {401, headers(), problem(invalid, "", "Invalid API Key provided"), 1, holdfast.VerdictUnauthorized, holdfast.ClassAuth, "invalid_request_error"},
		"an expired key":                   {401, headers("Stripe-Should-Retry", "false"), problem(invalid, "api_key_expired", "x"), 1, holdfast.VerdictUnauthorized, holdfast.ClassAuth, "api_key_expired"},
		"a declined card":                  {402, headers("Stripe-Should-Retry", "false"), problem("card_error", "card_declined", "Your card was declined."), 1, holdfast.VerdictPermanent, holdfast.ClassValidation, "card_declined"},
		"a missing permission":             {403, headers(), problem(invalid, "", "x"), 1, holdfast.VerdictUnauthorized, holdfast.ClassAuth, ""},
		"the key in use":                   {409, headers(), problem("idempotency_error", "idempotency_key_in_use", "x"), 3, holdfast.VerdictTransient, holdfast.ClassConflict, "idempotency_key_in_use"},
		"the key in use, of another type":  {409, headers("Stripe-Should-Retry", "true"), problem(invalid, "idempotency_key_in_use", "x"), 1, holdfast.VerdictTransient, holdfast.ClassConflict, "idempotency_key_in_use"},
		"another conflict":                 {409, headers(), problem(invalid, "", "x"), 4, holdfast.VerdictTransient, holdfast.ClassConflict, ""},
		"a conflict that is final":         {409, headers("Stripe-Should-Retry", "false"), problem(invalid, "", "x"), 1, holdfast.VerdictPermanent, holdfast.ClassConflict, ""},
		"a dependency failed":              {424, headers(), problem("api_error", "", "x"), 1, holdfast.VerdictTransient, holdfast.ClassConflict, ""},
		"a lock":                           {429, headers(), problem(invalid, "lock_timeout", "x"), 1, holdfast.VerdictTransient, holdfast.ClassConflict, "lock_timeout"},
		"a rate limit":                     {429, headers(), problem(invalid, "rate_limit", "x"), 1, holdfast.VerdictThrottled, holdfast.ClassRateLimited, "rate_limit"},
		"a rate limit, not to be retried":  {429, headers("Stripe-Should-Retry", "false", "Stripe-Rate-Limited-Reason", "global-rate"), problem(invalid, "rate_limit", "x"), 1, holdfast.VerdictThrottled, holdfast.ClassRateLimited, "rate_limit"},
		"a 400 that may be retried":        {400, headers("Stripe-Should-Retry", "true"), problem(invalid, "", "x"), 1, holdfast.VerdictTransient, holdfast.ClassConflict, ""},
		"a 500 that may be retried":        {500, headers("Stripe-Should-Retry", "true"), problem("api_error", "", "x"), 4, holdfast.VerdictTransient, holdfast.ClassVendor5xx, "api_error"},
		"a 500 that is stored":             {500, headers("Stripe-Should-Retry", "false"), problem("api_error", "", "x"), 1, holdfast.VerdictUnknown, holdfast.ClassUncertain, "api_error"},
		"a 500 answered from the store":    {500, headers("Idempotent-Replayed", "true"), problem("api_error", "", "x"), 1, holdfast.VerdictUnknown, holdfast.ClassUncertain, "api_error"},
		"a 500 of an earlier request":      {500, headers("Request-Id", "req_2", "Original-Request", "req_1"), problem("api_error", "", "x"), 1, holdfast.VerdictUnknown, holdfast.ClassUncertain, "api_error"},
		"a 500 of this request":            {500, headers("Request-Id", "req_1", "Original-Request", "req_1"), problem("api_error", "", "x"), 1, holdfast.VerdictTransient, holdfast.ClassVendor5xx, "api_error"},
		"a 500 met again":                  {500, headers(), problem("api_error", "", "x"), 2, holdfast.VerdictUnknown, holdfast.ClassUncertain, "api_error"},
		"a 500 of a proxy":                 {500, headers("Content-Type", "text/html"), "<html>", 3, holdfast.VerdictTransient, holdfast.ClassVendor5xx, ""},
		"an empty 503":                     {503, headers(), "", 2, holdfast.VerdictTransient, holdfast.ClassVendor5xx, ""},
		"a 503 that says when":             {503, headers("Retry-After", "30"), "", 1, holdfast.VerdictThrottled, holdfast.ClassVendor5xx, ""},
		"a page of a proxy where JSON was": {400, headers("Content-Type", "text/html"), "<html>", 1, holdfast.VerdictTransient, holdfast.ClassNetwork, ""},
		"a redirect":                       {302, headers("Location", "http://127.0.0.1/"), "", 1, holdfast.VerdictDrift, holdfast.ClassConfig, "redirect"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, f := holdfast.Judge(classify(&sinks.Exchange{
				Method: http.MethodPost, Response: sinks.Response{Status: tt.status, Header: tt.header, Body: []byte(tt.body)}, Number: tt.number,
			}))
			if got != tt.want || f.Class != tt.class || (tt.code != "" && f.Code != tt.code) {
				t.Errorf("got %s %s %q, want %s %s %q", got, f.Class, f.Code, tt.want, tt.class, tt.code)
			}
		})
	}
}

func TestAReadThatFailsIsNeverUncertain(t *testing.T) {
	t.Parallel()
	got, _ := holdfast.Judge(classify(&sinks.Exchange{Method: http.MethodGet, Number: 3, Response: sinks.Response{
		Status: 500, Header: headers("Stripe-Should-Retry", "false"), Body: []byte(problem("api_error", "", "x")),
	}}))
	if got != holdfast.VerdictTransient {
		t.Fatalf("got %s", got)
	}
}

func TestThrottleScopes(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]holdfast.Scope{
		"": holdfast.ScopeAccount, "global-rate": holdfast.ScopeAccount, "global-concurrency": holdfast.ScopeAccount,
		"endpoint-rate": holdfast.ScopeEndpoint, "endpoint-concurrency": holdfast.ScopeEndpoint, "resource-specific": holdfast.ScopeRecord,
	} {
		err := classify(&sinks.Exchange{Method: http.MethodPost, Response: sinks.Response{
			Status: 429, Header: headers("Stripe-Rate-Limited-Reason", reason, "Retry-After", "3"), Body: []byte(problem("", "lock_timeout", "")),
		}})
		var throttled *holdfast.ThrottledError
		if reason == "" {
			continue // a lock, not a limit: see TestClassify
		}
		if !errors.As(err, &throttled) || throttled.Scope != want || throttled.Wait != 3*time.Second {
			t.Errorf("%s: got %v", reason, err)
		}
	}
}

// verdictsOf says what the labels of the recorded exchanges stand for.
func verdictsOf(label string) []holdfast.Verdict {
	return map[string][]holdfast.Verdict{
		"success": {holdfast.VerdictDelivered}, "exists": {holdfast.VerdictDelivered}, "throttled": {holdfast.VerdictThrottled},
		"transient": {holdfast.VerdictTransient}, "auth": {holdfast.VerdictUnauthorized}, "auth_scope": {holdfast.VerdictUnauthorized},
		"permanent": {holdfast.VerdictPermanent}, "drift": {holdfast.VerdictDrift}, "conflict": {holdfast.VerdictTransient, holdfast.VerdictUnknown},
	}[label]
}

func TestRecordedExchanges(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "conformance", "exchanges.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("SKIPPED: ../shared/conformance/exchanges.jsonl is absent beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	total, agreed := 0, 0
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var row struct {
			ID, Vendor, Method, Path, Label string
			Status                          int
			Headers                         map[string]string
			Body                            json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if row.Vendor != "stripe" {
			continue
		}
		h := http.Header{}
		for name, value := range row.Headers {
			h.Set(name, value)
		}
		got, f := holdfast.Judge(classify(&sinks.Exchange{
			Method: row.Method, Number: 1, Response: sinks.Response{Status: row.Status, Header: h, Body: row.Body},
		}))
		total++
		agrees := false
		for _, want := range verdictsOf(row.Label) {
			agrees = agrees || got == want
		}
		if agrees {
			agreed++
		} else {
			t.Errorf("%s: %s %s %d: got %s %s, labelled %s", row.ID, row.Method, row.Path, row.Status, got, f.Code, row.Label)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d recorded Stripe exchanges agree", agreed, total)
}
