package sinks

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast.internal"
)

func TestClassifyByStatus(t *testing.T) {
	t.Parallel()
	want := map[holdfast.Verdict][]int{
		holdfast.VerdictDelivered:    {200, 201, 202, 204, 207, 226},
		holdfast.VerdictDrift:        {300, 301, 302, 303, 304, 307, 308, 405, 406, 410, 415, 501},
		holdfast.VerdictUnauthorized: {401, 403, 407},
		holdfast.VerdictThrottled:    {429},
		holdfast.VerdictTransient:    {408, 409, 425, 500, 502, 503, 504, 520, 521, 524, 599},
		holdfast.VerdictPermanent:    {400, 402, 404, 411, 412, 413, 414, 418, 422, 423, 451},
	}
	for verdict, statuses := range want {
		for _, status := range statuses {
			t.Run(strconv.Itoa(status), func(t *testing.T) {
				t.Parallel()
				got, f := holdfast.Judge(Classify(&Exchange{Response: Response{Status: status}, Number: 1}))
				if got != verdict {
					t.Errorf("got %s, want %s", got, verdict)
				}
				if got != holdfast.VerdictDelivered && (f.Status != status || f.Class == "" || f.Class == holdfast.ClassUnknown) {
					t.Errorf("evidence %+v", f)
				}
			})
		}
	}
}

func TestASecondConflictIsFinal(t *testing.T) {
	t.Parallel()
	got, _ := holdfast.Judge(Classify(&Exchange{Response: Response{Status: http.StatusConflict}, Number: 2, Conflicted: true}))
	if got != holdfast.VerdictPermanent {
		t.Fatalf("got %s", got)
	}
}

func TestAServerThatSaysWhenIsObeyed(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{"90": 90 * time.Second, "1.5": 1500 * time.Millisecond} {
		err := Classify(&Exchange{Response: Response{Status: 503, Header: http.Header{"Retry-After": {header}}}})
		var throttled *holdfast.ThrottledError
		if !errors.As(err, &throttled) || throttled.Wait != want || throttled.Class != holdfast.ClassVendor5xx {
			t.Errorf("Retry-After %s: %v", header, err)
		}
	}
	if v, _ := holdfast.Judge(Classify(&Exchange{Response: Response{Status: 503, Header: http.Header{"Retry-After": {"0"}}}})); v != holdfast.VerdictTransient {
		t.Errorf("Retry-After 0: %s, want an ordinary 503", v)
	}
}

func TestFailureKeepsEvidenceAndNoPayload(t *testing.T) {
	t.Parallel()
	sent := []string{"Ada Lovelace", "canary-token", "4711000"}
	tests := map[string]struct {
		contentType, body  string
		wantCode, wantText string
	}{
		"code and message of the usual envelope": {"application/json", `{"error":{"code":"card_declined","message":"Your card was declined."}}`, "card_declined", "Your card was declined."},
		"problem+json":                           {"application/problem+json", `{"type":"https://x.example/quota","title":"Quota is used up"}`, "https://x.example/quota", "Quota is used up"},
		"a list, as Salesforce sends":            {"application/json", `[{"errorCode":"INVALID_FIELD","message":"No such column"}]`, "INVALID_FIELD", "No such column"},
		"the payload repeated":                   {"application/json", `{"error":"bad","message":"name Ada Lovelace is too long"}`, "bad", "name *** is too long"},
		"the payload repeated as a code":         {"application/json", `{"code":"canary-token","message":"x"}`, "", "x"},
		"a quoted value":                         {"application/json", `{"message":"No such customer: 'cus_1'; don't retry"}`, "", "No such customer: '***'; don't retry"},
		"an address and a number":                {"application/json", `{"message":"a@b.example has 123456 points"}`, "", "*** has *** points"},
		"plain text":                             {"text/plain; charset=utf-8", "invalid_payload\n", "", "invalid_payload"},
		"a web page gives nothing":               {"text/html", "<html>canary-token</html>", "", ""},
		"unknown bytes give nothing":             {"", "\x1f\x8bcanary-token", "", ""},
		"control characters":                     {"text/plain", "a\x1b[31mb", "", "a [31mb"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := &Exchange{Response: Response{Status: 400, Body: []byte(tt.body), Header: http.Header{"Content-Type": {tt.contentType}}}, Sent: sent}
			f := x.Failure(holdfast.ClassValidation)
			if f.Code != tt.wantCode || f.Detail != tt.wantText {
				t.Errorf("code %q, detail %q; want %q, %q", f.Code, f.Detail, tt.wantCode, tt.wantText)
			}
		})
	}
}

func FuzzMask(f *testing.F) {
	f.Add("No such customer: 'cus_1'", "cus_1")
	f.Add(strings.Repeat("x", 1020)+"secret", "secret")
	f.Fuzz(func(t *testing.T, text, secret string) {
		const canary = "Canary7"
		got := Mask(text+" "+canary+secret+" "+text, []string{canary + secret, canary})
		if len(got) > maxDetail || strings.Contains(got, canary) {
			t.Fatalf("Mask = %q", got)
		}
	})
}
