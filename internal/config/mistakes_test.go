package config_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast.internal/internal/config"
)

// sound is a configuration of which [mistakes] break one line each.
const sound = `version: 1
kafka:
  brokers: [one:9092, two:9092]
  group_protocol: classic
  tls:
    ca_file: ca.pem
    cert_file: worker.pem
    key_file: worker.key
  sasl:
    mechanism: plain
    username: holdfast
    password: secret
schema_registry:
  url: http://registry:8081
  compatibility: full_transitive
processors:
  - name: invoice-command
    in: crm.invoice.v1
    out: billing.invoice-command.v1
  - name: back
    in: inventory.shipment.v1 # back
    out: warehouse.shipment.v1
sinks:
  - name: stripe-one
    kind: stripe
    in: billing.invoice-command.v1
    base_url: https://stripe.example.com
    auth: {api_key: sk_1}
    tenant: header:tenant
    limits:
      rate: 25/s
      burst: 25
      account: shared
      endpoints: {invoices.create: {rate: 20/s}}
    retry:
      tiers: [1m, 2m, 4m, 8m]
      max_age: 168h
    dlq:
      compat_headers: [connect, spring]
      max_redrives: 3
  - name: stripe-two
    kind: stripe
    in: billing.invoice-command.v1
    auth:
      api_key: sk_2
    limits:
      rate: 25/s # two
      account: shared # two
  - name: hook
    kind: http
    in: crm.invoice.v1
    url: https://hook.example.com/in
    method: PUT
    headers: {X-One: "1", X-Two: "2"}
    auth: {header: X-Key, value: abc}
    idempotency: {header: X-Idempotency}
    limits:
      rate: 5/s
      daily: {header: X-Used, reserve: 5}
    timeout: 20s
    breaker: {enabled: true, max_suspect: 24h}
  - name: shipments
    kind: table
    in: warehouse.shipment.v1
    dsn: sqlite:shipments.db
    table: shipments
    key: [shipment_id, order_id]
    version: version
    create: true
    on_tombstone: skip
    timeout: 5s
outbox:
  kind: sqlite
  dsn: sqlite:outbox.db
  table: outbox
  topics: {invoice: crm.invoice.v1}
  keep: 24h
http: {listen: "127.0.0.1:0"}
egress:
  allow_http: false
  allow_cidrs: [10.0.0.0/8]
alerts:
  slack:
    url: https://hooks.example.com/x
    channel: "#oncall"
`

// mistake breaks a line of [sound]. Which of its problems can be told may
// depend on other lines; where these are broken too, it may keep silent.
type mistake struct {
	line, bad string
	needs     []string
}

func mistakes() []mistake {
	return []mistake{
		{"version: 1", "version: 2", nil},
		{"  brokers: [one:9092, two:9092]", "  brokers: [one, 5, two:9092]", nil},
		{"  brokers: [one:9092, two:9092]", "  brokers: one:9092", nil},
		{"  brokers: [one:9092, two:9092]", "  brokers: []", nil},
		{"  group_protocol: classic", "  group_protocol: klassic", nil},
		{"    ca_file: ca.pem", "    ca_file: 5", nil},
		{"    cert_file: worker.pem", "    certfile: worker.pem", nil},
		{"    key_file: worker.key", "", []string{"    cert_file: worker.pem"}},
		{"    mechanism: plain", "    mechanism: [plain]", nil},
		{"    password: secret", "", nil},
		{"  url: http://registry:8081", "  url: registry:8081", nil},
		{"  compatibility: full_transitive", "  compatibility: full", nil},
		{"  compatibility: full_transitive", "  compatibility: 1", nil},
		{"  - name: invoice-command", "  - name: invoice-comand", nil},
		{"  - name: invoice-command", "  - name: 5", nil},
		{"    in: crm.invoice.v1", "    in: inventory.shipment.v1", []string{"  - name: invoice-command"}},
		{"    in: crm.invoice.v1", "    in: billing.invoice-command.v1", []string{"  - name: invoice-command", "    out: billing.invoice-command.v1"}},
		{"    out: billing.invoice-command.v1", "    out: retry.x", nil},
		{"    out: billing.invoice-command.v1", "    out: [x]", nil},
		{"  - name: back", "  - nam: back", nil},
		{"    in: inventory.shipment.v1 # back", "    in: {}", nil},
		{"    out: warehouse.shipment.v1", "", nil},
		{"  - name: stripe-one", "  - name: stripe_one", nil},
		{"  - name: stripe-one", "  - name: stripe-two", []string{"  - name: stripe-two"}},
		{"  - name: stripe-one", "  - name: []", nil},
		{"    base_url: https://stripe.example.com", "    base_url: ftp://stripe.example.com", nil},
		{"    base_url: https://stripe.example.com", "    base_url: http://127.0.0.1/x", []string{"  allow_http: false", "  allow_cidrs: [10.0.0.0/8]"}},
		{"    auth: {api_key: sk_1}", "    auth: {api_ky: sk_1}", nil},
		{"    auth: {api_key: sk_1}", "    auth: sk_1", nil},
		{"    tenant: header:tenant", "    tenant: tenant", nil},
		{"    tenant: header:tenant", "    tenant: field:tenant", nil},
		{"      rate: 25/s", "      rate: 25", nil},
		{"      rate: 25/s", "      rate: 26/s", []string{"      burst: 25", "      account: shared", "      rate: 25/s # two", "      account: shared # two"}},
		{"      rate: 25/s", "      rate: [25/s]", nil},
		{"      rate: 25/s", "", []string{"      burst: 25", "      account: shared", "      rate: 25/s # two", "      account: shared # two"}},
		{"      burst: 25", "      burst: 0", nil},
		{"      burst: 25", "      burst: many", nil},
		{"      burst: 25", "      burst: 1.5", nil},
		{"      burst: 25", "      burst: 25\n      per_tenant: {burst: 5}", nil},
		{"      account: shared", "      account: 5", nil},
		{"      endpoints: {invoices.create: {rate: 20/s}}", "      endpoints: {invoices.creat: {rate: 20/s}, customers.list: {}}", nil},
		{"      endpoints: {invoices.create: {rate: 20/s}}", "      endpoints: {invoices.creat: {rate: 20}}", nil},
		{"      endpoints: {invoices.create: {rate: 20/s}}", "      endpoints: {invoices.create: {rate: 26/s}}", []string{"      rate: 25/s"}},
		{"      tiers: [1m, 2m, 4m, 8m]", "      tiers: [1m, 2, 4m, 3m]", nil},
		{"      tiers: [1m, 2m, 4m, 8m]", "      tiers: [1ms, soon, 4m, 3m]", nil},
		{"      max_age: 168h", "      max_age: 7d", nil},
		{"      max_age: 168h", "      max_age: 0", nil},
		{"      max_age: 168h", "      max_age: 15m", []string{"      tiers: [1m, 2m, 4m, 8m]"}},
		{"      compat_headers: [connect, spring]", "      compat_headers: [conect, 5, {}]", nil},
		{"      max_redrives: 3", "      max_redrives: -1", nil},
		{"      api_key: sk_2", "      api_key: 2", nil},
		{"      rate: 25/s # two", "      rate: 25/s\n      per_tenant: {rate: 1/s}", nil},
		{"      rate: 25/s # two", "      rates: 25/s", nil},
		{"      account: shared # two", "      account: shared\n      burst: 5", []string{"      rate: 25/s", "      burst: 25", "      account: shared", "      rate: 25/s # two"}},
		{"    url: https://hook.example.com/in", "    url: in", nil},
		{"    url: https://hook.example.com/in", "    url: 5", nil},
		{"    url: https://hook.example.com/in", "    url: https://hook.example.com/{nr}", nil},
		{"    url: https://hook.example.com/in", "    url: http://user:pw@192.168.0.1/in", []string{"  allow_http: false", "  allow_cidrs: [10.0.0.0/8]"}},
		{"    method: PUT", "    method: GET", nil},
		{"    method: PUT", "    method: 5", nil},
		{`    headers: {X-One: "1", X-Two: "2"}`, `    headers: {X-One: 1, "X Two": "2", Host: "3"}`, nil},
		{"    auth: {header: X-Key, value: abc}", "    auth: {header: X Key, bearer: abc}", nil},
		{"    auth: {header: X-Key, value: abc}", "    auth: {username: x}", nil},
		{"    auth: {header: X-Key, value: abc}", "    auth: {header: 5, bearer: abc, username: x}", nil},
		{"    idempotency: {header: X-Idempotency}", "    idempotency: {header: X Idempotency, quote: 1}", nil},
		{"      rate: 5/s", "", nil},
		{"      rate: 5/s", "      rate: 5", nil},
		{"      daily: {header: X-Used, reserve: 5}", "      daily: {reserve: 5}", nil},
		{"      daily: {header: X-Used, reserve: 5}", "      daily: {reserve: half}", nil},
		{"      daily: {header: X-Used, reserve: 5}", "      daily: {header: 5, reserve: 500}", nil},
		{"    timeout: 20s", "    timeout: 20", nil},
		{"    timeout: 20s", "    timeout: 0s", nil},
		{"    breaker: {enabled: true, max_suspect: 24h}", `    breaker: {enabled: "on", max_suspect: 0s}`, nil},
		{"  - name: shipments", "  - name: hook", nil},
		{"    dsn: sqlite:shipments.db", "    dsn: sqlite:shipments.db\n    limits: {account: mine}", nil},
		{"    dsn: sqlite:shipments.db", "    dsn: mysql://x", nil},
		{"    table: shipments", "", nil},
		{"    table: shipments", "    table: a b", nil},
		{"    key: [shipment_id, order_id]", "    key: [shipment_id, 5, a b, shipment_id]", nil},
		{"    key: [shipment_id, order_id]", "    key: [version]", []string{"    version: version"}},
		{"    version: version", "    version: 1", nil},
		{"    version: version", "    version: versions", nil},
		{"    create: true", "    create: 1", nil},
		{"    on_tombstone: skip", "    on_tombstone: delete", []string{"    key: [shipment_id, order_id]"}},
		{"    timeout: 5s", "    timeout: 99999999999h", nil},
		{"  kind: sqlite", "  kind: postgres", []string{"  dsn: sqlite:outbox.db"}},
		{"  kind: sqlite", "", nil},
		{"  dsn: sqlite:outbox.db", "  dsn: [x]", nil},
		{"  table: outbox", "  table: a b", nil},
		{"  topics: {invoice: crm.invoice.v1}", "  topics: {invoice: crm.invoice.v2, shipment: 5}", nil},
		{"  keep: 24h", "  keep: 5", nil},
		{`http: {listen: "127.0.0.1:0"}`, "http: {listen: localhost}", nil},
		{`http: {listen: "127.0.0.1:0"}`, "http: {listen: 8080}", nil},
		{"  allow_http: false", "  allow_http: 1", nil},
		{"  allow_cidrs: [10.0.0.0/8]", "  allow_cidrs: [10.0.0.0, 5]", nil},
		{"  allow_cidrs: [10.0.0.0/8]", "  allow_cidrs: [10.0.0.0/33]", nil},
		{"    url: https://hooks.example.com/x", "", nil},
		{"    url: https://hooks.example.com/x", "    url: http://hooks.example.com/x", nil},
		{`    channel: "#oncall"`, "    channel: 5", nil},
	}
}

// TestAMistakeHidesNoOther breaks many lines of a file at a time: what is
// reported of it is what is reported of each mistake alone. Nothing is hidden by
// another, and nothing is said that would be gone with another.
func TestAMistakeHidesNoOther(t *testing.T) {
	t.Parallel()
	if found := problems(t, sound); len(found) > 0 {
		t.Fatalf("without a mistake: %q", found)
	}
	all := mistakes()
	alone := make([][]string, len(all))
	for i, m := range all {
		if alone[i] = problems(t, broken(t, sound, m)); len(alone[i]) == 0 {
			t.Errorf("%q is no mistake", m.bad)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		taken := map[string]bool{}
		text, want, may := sound, []string{}, []string{}
		var chosen []int
		for _, i := range random.Perm(len(all)) {
			if m := all[i]; !taken[m.line] && random.IntN(3) > 0 {
				taken[m.line] = true
				chosen = append(chosen, i)
				text = broken(t, text, m)
			}
		}
		for _, i := range chosen {
			may = append(may, alone[i]...)
			if !slices.ContainsFunc(all[i].needs, func(line string) bool { return taken[line] }) {
				want = append(want, alone[i]...)
			}
		}
		got := problems(t, text)
		for _, p := range want {
			if !slices.Contains(got, p) {
				t.Errorf("hidden: %s", p)
			}
		}
		for _, p := range got {
			if !slices.Contains(may, p) {
				t.Errorf("said of no mistake alone: %s", p)
			}
		}
	}
}

func broken(t *testing.T, text string, m mistake) string {
	t.Helper()
	if strings.Count(text, m.line+"\n") == 0 {
		t.Fatalf("no line is %q", m.line)
	}
	return strings.Replace(text, m.line+"\n", m.bad+"\n", 1)
}

// problems are the messages on a text, without their places.
func problems(t *testing.T, text string) []string {
	t.Helper()
	cfg, err := config.Parse("x.yaml", []byte(text), known())
	var found config.Problems
	if err != nil && !errors.As(err, &found) {
		t.Fatal(err)
	}
	if cfg != nil {
		found = cfg.Warnings
	}
	var messages []string
	for _, p := range found {
		messages = append(messages, fmt.Sprintf("%s: %s", p.Path, p.Message))
	}
	return messages
}
