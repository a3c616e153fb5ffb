package sinks

import (
	"net/http"
	"testing"
	"time"
)

func TestLimitsOfAnAnswer(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for name, tt := range map[string]struct {
		header map[string]string
		want   Advice
	}{
		"a window":                       {map[string]string{"RateLimit": `"default";r=50;t=30`}, Advice{Left: 50, Reset: 30 * time.Second}},
		"an exhausted window":            {map[string]string{"RateLimit": `"default";r=0;t=30`}, Advice{Reset: 30 * time.Second}},
		"the tightest of several":        {map[string]string{"RateLimit": `"day";r=5000;t=80000, "burst";r=9;t=1`}, Advice{Left: 5000, Reset: 80000 * time.Second}},
		"a window that ends now":         {map[string]string{"RateLimit": `"default";r=5;t=0`}, Advice{}},
		"a policy":                       {map[string]string{"RateLimit-Policy": `"burst";q=100;w=10, "day";q=86400;w=86400`}, Advice{Rate: 1}},
		"a policy that counts bytes":     {map[string]string{"RateLimit-Policy": `"b";q=1;w=10;qu="content-bytes"`, "RateLimit": `"b";r=1;t=10, "c";r=5;t=1`}, Advice{Left: 5, Reset: time.Second}},
		"the older dictionary":           {map[string]string{"RateLimit": `limit=100, remaining=7, reset=5`}, Advice{Left: 7, Reset: 5 * time.Second}},
		"older fields":                   {map[string]string{"X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "12"}, Advice{Left: 4, Reset: 12 * time.Second}},
		"a reset as a moment":            {map[string]string{"RateLimit-Remaining": "4", "RateLimit-Reset": "1800000060"}, Advice{Left: 4, Reset: time.Minute}},
		"a moment that has passed":       {map[string]string{"X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "1700000000"}, Advice{}},
		"a reset alone":                  {map[string]string{"X-RateLimit-Reset": "12"}, Advice{}},
		"Salesforce's count":             {map[string]string{"Sforce-Limit-Info": "api-usage=18/5000; per-app-api-usage=17/250(appName=a)"}, Advice{Used: 18, Max: 5000}},
		"no number":                      {map[string]string{"RateLimit": `"d";r=x`, "X-RateLimit-Remaining": "NaN", "X-RateLimit-Reset": "1", "Sforce-Limit-Info": "soon"}, Advice{}},
		"a negative count":               {map[string]string{"RateLimit": `"d";r=-1;t=30`}, Advice{}},
		"nothing":                        {nil, Advice{}},
		"a window beside Unix old names": {map[string]string{"RateLimit": `"d";r=5;t=10`, "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "100"}, Advice{Left: 5, Reset: 10 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			for k, v := range tt.header {
				h.Set(k, v)
			}
			if got := NewLimits("Sforce-Limit-Info").Read(h, func() time.Time { return now }); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestADailyCountIsReadOnlyWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	h := http.Header{"Sforce-Limit-Info": {"api-usage=18/5000"}}
	if got := NewLimits("").Read(h, time.Now); got != (Advice{}) {
		t.Errorf("got %+v", got)
	}
}

func FuzzLimits(f *testing.F) {
	f.Add(`"default";r=0;t=30`, `"a";q=1;w=2`, "0", "30", "api-usage=18/5000")
	f.Add(`limit=100, remaining=3, reset=5`, ``, "1", "1700000000", "1/0")
	now := time.Unix(1_800_000_000, 0)
	limits := NewLimits("Day")
	f.Fuzz(func(t *testing.T, field, policy, left, reset, daily string) {
		h := http.Header{"Ratelimit": {field}, "Ratelimit-Policy": {policy}, "X-Ratelimit-Remaining": {left}, "X-Ratelimit-Reset": {reset}, "Day": {daily}}
		if a := limits.Read(h, func() time.Time { return now }); !(a.Rate >= 0) || a.Reset < 0 || a.Reset > maxWait || !(a.Left >= 0) || !(a.Used >= 0) || !(a.Max >= 0) {
			t.Fatalf("%v: %+v", h, a)
		}
	})
}
