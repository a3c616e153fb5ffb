package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"holdfast.internal/internal/config"
)

// TestEveryKindHasItsPage: docs/sinks/<kind>.md has an example that validates as
// it is, and the keys as the code knows them; HOLDFAST_UPDATE_DOCS=1 writes these.
func TestEveryKindHasItsPage(t *testing.T) {
	for _, name := range []string{"HOOK_TOKEN", "STRIPE_KEY"} {
		t.Setenv(name, "secret")
	}
	t.Setenv("WAREHOUSE_DSN", "postgres://user:secret@db.example.com/warehouse")
	for name, kind := range known().Sinks {
		file := fmt.Sprintf("../../docs/sinks/%s.md", name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		validatesAsShown(t, file, string(text))
		table, err := kind.Reference()
		if err != nil {
			t.Fatal(err)
		}
		want := regexp.MustCompile(`(?s)(<!-- keys -->\n).*(<!-- /keys -->)`).ReplaceAllString(string(text), "${1}"+strings.ReplaceAll(string(table), "$", "$$")+"${2}")
		if os.Getenv("HOLDFAST_UPDATE_DOCS") != "" {
			if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if want != string(text) || !strings.Contains(want, string(table)) {
			t.Errorf("%s: its keys are stale: run `make generate`", file)
		}
	}
}

// validatesAsShown puts the first example of a page below a head.
func validatesAsShown(t *testing.T, file, text string) {
	t.Helper()
	_, example, _ := strings.Cut(text, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	const head = "version: 1\nkafka: {brokers: [kafka:9092]}\nschema_registry: {url: http://registry:8081}\n"
	cfg, err := config.Parse(file, []byte(head+example), known())
	if err != nil || len(cfg.Sinks) != 1 || len(cfg.Warnings) > 0 {
		t.Errorf("the example of %s is no configuration of one sink: %v", file, err)
	}
}
