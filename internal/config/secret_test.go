package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"holdfast.internal/internal/config"
	"holdfast.internal/sinks/stripe"
)

// write makes a configuration in a folder of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const head = `version: 1
kafka: {brokers: [127.0.0.1:9092]}
schema_registry: {url: http://127.0.0.1:8081}
`

// TestReferences: what a reference stands for cannot change the structure
// around it, and takes the type that its place asks for.
func TestReferences(t *testing.T) {
	t.Setenv("HOLDFAST_TEST_KEY", "sk: {a: b} # \" '\n- x")
	t.Setenv("HOLDFAST_TEST_N", "3")
	t.Setenv("HOLDFAST_TEST_YES", "false")
	file := write(t, head+`sinks:
  - name: s
    kind: stripe
    in: billing.invoice-command.v1
    auth: {api_key_file: key}
    limits: {concurrency: "${env:HOLDFAST_TEST_N}", account: "${env:HOLDFAST_TEST_KEY}", rate: "${env:HOLDFAST_TEST_N}5/s"}
    breaker: {enabled: "${env:HOLDFAST_TEST_YES}"}
    tenant: "header:$${x}"
`)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "key"), []byte("sk_live_42\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, known())
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Sinks[0]
	if s.Limits.Concurrency != 3 || s.Limits.Account != "sk: {a: b} # \" '\n- x" || s.Limits.Rate.String() != "35/s" || s.Breaker.Enabled || s.Tenant != "header:${x}" {
		t.Errorf("%+v", s)
	}
	var own stripe.Config
	if err := s.Section.Decode(&own); err != nil || own.Auth.APIKey.Reveal() != "sk_live_42" {
		t.Errorf("%q %v", own.Auth.APIKey.Reveal(), err)
	}
}

// TestNoSecretIsShown (P12): neither printing a configuration nor its mistakes
// show what a secret is.
func TestNoSecretIsShown(t *testing.T) {
	const secret = "hunter2hunter2"
	t.Setenv("HOLDFAST_TEST_SECRET", secret)
	good := head + `outbox: {kind: postgres, dsn: "postgres://a:` + secret + `@h/d"}
alerts: {slack: {url: "https://hooks.example.com/` + secret + `"}}
sinks:
  - {name: s, kind: stripe, in: billing.invoice-command.v1, auth: {api_key: ` + secret + `}}
`
	cfg, err := config.Load(write(t, good), known())
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	zap.New(core).Info("configuration", zap.Any("config", cfg), zap.Any("section", cfg.Sinks[0].Section))
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	logged, err := json.Marshal(logs.All()[0].ContextMap())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg), fmt.Sprintf("%+v", *cfg), fmt.Sprintf("%+v", cfg.Sinks), fmt.Sprintf("%#v", cfg.Sinks[0]), string(asJSON), string(logged),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("shows the secret: %s", text)
		}
	}
	for _, bad := range []string{
		head + "sinks:\n  - {name: s, kind: table, in: crm.invoice.v1, dsn: \"mysql://${env:HOLDFAST_TEST_SECRET}\", table: \"${env:HOLDFAST_TEST_SECRET} x\", key: [a]}",
		head + "outbox: {kind: postgres, dsn: " + secret + ", table: \"${env:HOLDFAST_TEST_SECRET}-\"}",
		head + "http: {listen: \"${env:HOLDFAST_TEST_SECRET}\"}\nsinks:\n  - {name: \"${env:HOLDFAST_TEST_SECRET} \", kind: \"${env:HOLDFAST_TEST_SECRET}\", in: a, timeout: \"${env:HOLDFAST_TEST_SECRET}\", limits: {rate: \"${env:HOLDFAST_TEST_SECRET}\"}}",
		head + "alerts: {slack: {url: [" + secret + "]}}",
		head + "sinks:\n  - {name: s, kind: stripe, in: crm.invoice.v1, auth: {api_key: \"" + secret + "\\n\"}}",
		head + "sinks:\n  - {name: s, kind: http, in: crm.invoice.v1, base_url: \"https://u:" + secret + "@h\"}",
		head + "sinks:\n  - {name: s, kind: http, in: crm.invoice.v1, url: \"https://h/{${env:HOLDFAST_TEST_SECRET}}\", tenant: \"field:${env:HOLDFAST_TEST_SECRET}\"}",
		head + "sinks:\n  - {name: s, kind: stripe, in: billing.invoice-command.v1, auth: " + secret + "}",
		strings.Replace(head, "http://", "http://u:"+secret+"@", 1),
	} {
		_, err := config.Load(write(t, bad), known())
		if err == nil {
			t.Errorf("accepted: %s", bad)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the mistake shows the secret: %v", err)
		}
	}
}

func TestSectionPlacesErrors(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load("testdata/good.yaml", known())
	if err != nil {
		t.Fatal(err)
	}
	err = cfg.Sinks[0].Section.Wrap(fmt.Errorf("auth.api_key: must be better")) //nolint:perfsprint // as a Validate says it
	if want := "testdata/good.yaml:11:21: sinks[0].auth.api_key: must be better"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := cfg.Sinks[0].Section.Wrap(nil); err != nil {
		t.Errorf("nil became %v", err)
	}
}

// FuzzParse: no file makes the parser panic, and every problem has a place
// inside the file.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	k := known()
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "_file") || strings.Contains(string(text), "${file") {
			t.Skip("reads files")
		}
		cfg, err := config.Parse("x.yaml", text, k)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("cfg %v, err %v", cfg, err)
		}
		var problems config.Problems
		if err != nil && !asProblems(err, &problems) {
			t.Fatalf("not problems: %v", err)
		}
		lines := 2 + strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + strings.Count(string(text), "\u0085") + strings.Count(string(text), "\u2028") + strings.Count(string(text), "\u2029")
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines || p.Column < 1 {
				t.Errorf("no such place: %s", p)
			}
		}
	})
}

func asProblems(err error, into *config.Problems) bool {
	p, ok := err.(config.Problems) //nolint:errorlint // Parse promises this very type
	*into = p
	return ok
}
