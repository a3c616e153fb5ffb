// Package example makes realistic events: for `holdfast produce --example`,
// the traffic of `holdfast dev`, and tests. The same seed makes the same events.
package example

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Line is one event as `holdfast produce` reads it.
type Line struct {
	Key     string            `json:"key"`
	Value   map[string]any    `json:"value"`
	Headers map[string]string `json:"headers"`
}

// Topics that examples are made for.
const (
	Invoices  = "crm.invoice.v1"
	Shipments = "inventory.shipment.v1"
)

// ErrTopic reports a topic that no examples are made for.
var ErrTopic = errors.New("no examples are made for this topic")

// Lines returns n events of a topic.
func Lines(topic string, n int, seed uint64) ([]Line, error) {
	g := New(seed)
	lines := make([]Line, n)
	for i := range lines {
		switch topic {
		case Invoices:
			lines[i] = g.Invoice()
		case Shipments:
			lines[i] = g.Shipment()
		default:
			return nil, fmt.Errorf("%s: %w; there are %s and %s", topic, ErrTopic, Invoices, Shipments)
		}
	}
	return lines, nil
}

// Generator makes events. It is not safe for concurrent use.
type Generator struct {
	rng       *rand.Rand
	seed      uint64
	invoices  int
	shipments []shipment
	now       time.Time
}

type shipment struct {
	id, order, carrier, recipient, country string
	sku, weight                            string
	quantity, step                         int
}

// New makes a generator. Its clock starts at a fixed time, so that a seed
// always makes the same events; ids of different seeds never meet, and invoices'
// numbers only of seeds that are equal modulo 10,000.
func New(seed uint64) *Generator {
	return &Generator{rng: rand.New(rand.NewPCG(seed, 0x686f6c64)), seed: seed, now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)} //nolint:gosec // events, not keys
}

type place struct{ city, postal, country, currency, phone string }

func pick[T any](g *Generator, of []T) T { return of[g.rng.IntN(len(of))] }

func firstNames() []string {
	return []string{"Ana", "Bram", "Chidi", "Dana", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kaya", "Lars", "Mei", "Nora", "Omar", "Priya"}
}

func lastNames() []string {
	return []string{"Lima", "Jansen", "Okafor", "Weiss", "Yilmaz", "Haddad", "Lindqvist", "Tanaka", "Costa", "Keller", "Demir", "Olsen", "Chen", "Rossi", "Said", "Nair"}
}

func places() []place {
	return []place{
		{"Berlin", "10115", "DE", "EUR", "+49 30 "},
		{"Lisboa", "1100-148", "PT", "EUR", "+351 21 "},
		{"London", "EC1A 1BB", "GB", "GBP", "+44 20 "},
		{"Osaka", "530-0001", "JP", "JPY", "+81 6 "},
		{"Oslo", "0150", "NO", "NOK", "+47 22 "},
		{"Boston", "02108", "US", "USD", "+1 617 "},
	}
}

func goods() []string {
	return []string{"Consulting, hour", "Support plan, month", "Sensor kit", "Gateway licence", "Training day", "Data export", "Replacement part", "Onsite visit"}
}

// Invoice makes an issued invoice with one to five lines. A fifth of the
// customers get most of the invoices.
func (g *Generator) Invoice() Line {
	g.invoices++
	g.now = g.now.Add(time.Duration(1+g.rng.IntN(5000)) * time.Millisecond)
	who := g.rng.IntN(200)
	if g.rng.IntN(5) > 0 {
		who %= 40
	}
	// A customer is the same person in every invoice, whatever the seed.
	person := rand.New(rand.NewPCG(uint64(who), 7)) //nolint:gosec // a person, not a key
	first, last := firstNames()[person.IntN(16)], lastNames()[person.IntN(16)]
	at := places()[person.IntN(6)]
	customer := fmt.Sprintf("cus_%04d", who)
	id := fmt.Sprintf("inv_%x_%06d", g.seed, g.invoices)
	total := int64(0)
	lines := make([]any, 1+g.rng.IntN(5))
	for i := range lines {
		cents := int64(100 * (1 + g.rng.IntN(400)))
		if at.currency != "JPY" {
			cents += int64(g.rng.IntN(100))
		}
		quantity := 1 + g.rng.IntN(4)
		total += cents * int64(quantity)
		item := g.rng.IntN(8)
		lines[i] = map[string]any{
			"sku": fmt.Sprintf("SKU-%03d", item), "description": goods()[item], "quantity": quantity,
			"unit_amount": decimal(cents, 2), "tax_rate": pick(g, []string{"0.1900", "0.2000", "0.0000"}),
		}
	}
	return Line{
		Key: customer,
		Value: map[string]any{
			"id": id, "number": fmt.Sprintf("2026-%04d-%06d", g.seed%10_000, g.invoices), "status": "ISSUED",
			"customer": map[string]any{
				"id": customer, "name": first + " " + last,
				"email":   strings.ToLower(first+"."+last) + "." + strconv.Itoa(who) + "@example.com",
				"phone":   at.phone + fmt.Sprintf("%07d", person.IntN(9_999_999)),
				"address": map[string]any{"line1": fmt.Sprintf("%d Market Street", 1+person.IntN(200)), "line2": nil, "city": at.city, "postal_code": at.postal, "country": at.country},
			},
			"issued_at": stamp(g.now), "due_at": stamp(g.now.AddDate(0, 0, pick(g, []int{14, 30, 60}))),
			"currency": at.currency, "lines": lines, "total": decimal(total, 2),
			"notes": nil, "purchase_order": nil, "metadata": map[string]any{"source": "crm"},
		},
		Headers: headers(id, "crm", "crm.invoice.issued", g.now),
	}
}

func steps() []string { return []string{"CREATED", "PICKED", "SHIPPED", "DELIVERED"} }

// Shipment makes a new shipment or the next state of an open one; its version rises.
func (g *Generator) Shipment() Line {
	g.now = g.now.Add(time.Duration(1+g.rng.IntN(5000)) * time.Millisecond)
	if len(g.shipments) < 3 || g.rng.IntN(3) == 0 {
		n := g.rng.Uint32()
		g.shipments = append(g.shipments, shipment{
			id: fmt.Sprintf("shp_%x_%08x", g.seed, n), order: fmt.Sprintf("ord_%06d", g.rng.IntN(1_000_000)),
			carrier: pick(g, []string{"DHL", "UPS", "PostNord", "Yamato"}), recipient: pick(g, firstNames()) + " " + pick(g, lastNames()),
			country: pick(g, places()).country, sku: fmt.Sprintf("SKU-%03d", g.rng.IntN(8)), quantity: 1 + g.rng.IntN(9),
			weight: decimal(int64(100+g.rng.IntN(20000)), 3),
		})
	}
	i := g.rng.IntN(len(g.shipments))
	s := &g.shipments[i]
	value := map[string]any{
		"id": s.id, "order_id": s.order, "version": s.step + 1, "status": steps()[s.step], "carrier": s.carrier,
		"items": []any{map[string]any{"sku": s.sku, "quantity": s.quantity}}, "weight_kg": s.weight,
		"shipped_at": nil, "updated_at": stamp(g.now), "recipient": s.recipient, "destination_country": s.country,
	}
	if s.step >= 2 {
		value["shipped_at"] = stamp(g.now)
	}
	line := Line{Key: s.id, Value: value, Headers: headers(fmt.Sprintf("%s-v%d", s.id, s.step+1), "inventory", "inventory.shipment.changed", g.now)}
	s.step++
	if s.step == len(steps()) {
		g.shipments = append(g.shipments[:i], g.shipments[i+1:]...)
	}
	return line
}

func headers(id, source, kind string, at time.Time) map[string]string {
	return map[string]string{"ce_specversion": "1.0", "ce_id": id, "ce_source": source, "ce_type": kind, "ce_time": stamp(at)}
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z") }

// decimal spells units of 10^-scale.
func decimal(units int64, scale int) string {
	s := fmt.Sprintf("%0*d", scale+1, units)
	return s[:len(s)-scale] + "." + s[len(s)-scale:]
}
