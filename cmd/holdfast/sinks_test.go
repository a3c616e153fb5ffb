package main

import (
	"testing"

	"holdfast.internal/internal/config"
)

func TestWhatAKindDoesWithStaleLetters(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nkafka: {brokers: [\"k:9092\"]}\nschema_registry: {url: \"http://r\"}\negress: {allow_http: true}\nsinks:\n  - {name: s, in: billing.invoice-command.v1, "
	for sink, want := range map[string]string{
		`kind: http, base_url: "https://example.com"`:                                     config.StaleSend,
		`kind: stripe, auth: {api_key: sk_test_x}`:                                        config.StaleSend,
		`kind: table, dsn: "sqlite:x.db", table: t, key: [invoice_id], version: currency`: config.StaleSend,
		`kind: table, dsn: "sqlite:x.db", table: t, key: [invoice_id]`:                    config.StaleSkip,
		`kind: table, dsn: "sqlite:x.db", table: t, key: [invoice_id], stale: send`:       config.StaleSend,
		`kind: http, base_url: "https://example.com", stale: skip`:                        config.StaleSkip,
	} {
		cfg, err := config.Parse("holdfast.yaml", []byte(head+sink+"}\n"), known())
		if err != nil {
			t.Errorf("%s: %v", sink, err)
			continue
		}
		if got := cfg.Sinks[0].Stale; got != want {
			t.Errorf("%s: %q, want %q", sink, got, want)
		}
	}
}
