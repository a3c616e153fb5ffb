package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast.internal/internal/config"
	"holdfast.internal/schemas"
	"holdfast.internal/sinks/http"
	"holdfast.internal/sinks/stripe"
	"holdfast.internal/sinks/table"
)

var update = flag.Bool("update", false, "write the golden files anew")

func known() config.Known {
	topics := map[string]string{}
	for _, t := range schemas.Topics() {
		topics[t.Name] = t.Record
	}
	return config.Known{
		Sinks: map[string]config.Kind{
			"http":   {Config: func() any { return new(http.Config) }},
			"stripe": {Config: func() any { return new(stripe.Config) }},
			"table":  {Config: func() any { return new(table.Config) }},
		},
		Processors: map[string]config.Transform{
			"invoice-command": {In: "crm.Invoice", Out: "billing.InvoiceCommand"},
			"back":            {},
		},
		Topics: topics,
		Field: func(topic, path string) (string, []string) {
			latest, err := schemas.Latest(topics[topic])
			if err != nil {
				return "", nil
			}
			return schemas.TypeOf(latest.Text, path)
		},
	}
}

// TestRules holds every file of testdata against the messages on its first
// lines: one broken rule each, all of its mistakes at once, each at its place.
func TestRules(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want, rest []string
			for line := range strings.Lines(string(text)) {
				if w, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, strings.TrimSuffix(w, "\n"))
				} else {
					rest = append(rest, line)
				}
			}
			got := messages(t, file)
			if *update {
				rewrite(t, file, rest)
				return
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func messages(t *testing.T, file string) []string {
	t.Helper()
	cfg, err := config.Load(file, known())
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatal(err)
	}
	if cfg != nil {
		problems = cfg.Warnings
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, strings.TrimPrefix(p.String(), file+":"))
	}
	return lines
}

// rewrite puts the messages on the file's first lines. Their number moves the
// lines that they speak of, so it takes two rounds.
func rewrite(t *testing.T, file string, body []string) {
	t.Helper()
	write := func(want []string) {
		var b strings.Builder
		for _, w := range want {
			fmt.Fprintf(&b, "# want: %s\n", w)
		}
		b.WriteString(strings.Join(body, ""))
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(messages(t, file))
	write(messages(t, file))
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load("testdata/good.yaml", known())
	if err != nil {
		t.Fatal(err)
	}
	stripe, shipments := cfg.Sinks[0], cfg.Sinks[1]
	if got := fmt.Sprint(stripe.Retry.Tiers); got != "[1m0s 2m0s 4m0s]" {
		t.Error("tiers", got)
	}
	if got := fmt.Sprint(shipments.Retry.Tiers); got != "[1s 1m30s]" {
		t.Error("given tiers", got)
	}
	if stripe.Limits.Burst != 25 || stripe.Limits.MaxHold != 24*time.Hour || !stripe.Breaker.Enabled || stripe.Ordering != config.OrderKey {
		t.Errorf("%+v", stripe)
	}
	if cfg.HTTP.Listen != config.DefaultListen || cfg.Outbox.Table != config.DefaultTable {
		t.Errorf("%+v %+v", cfg.HTTP, cfg.Outbox)
	}
}
