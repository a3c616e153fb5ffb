package quota

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// plan is what happens to the processes of one run.
type plan struct {
	seed    uint64
	limit   Limit
	loads   []float64
	costs   []float64
	drops   float64
	blind   bool    // processes read little of the log when they start
	takes   float64 // part of the limit that the vendor takes, and says no number; 0 for all
	mishaps []mishap
}

// mishap happens to one process.
type mishap struct {
	at   time.Duration
	kind string
	who  int
	d    time.Duration
}

func (m mishap) String() string { return fmt.Sprintf("%v %s w%d %v", m.at, m.kind, m.who, m.d) }

// picker draws the numbers of a plan: rapid's, or a seed's.
type picker interface {
	pick(name string, n int) int
}

type rapidly struct{ *rapid.T }

func (t rapidly) pick(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t.T, name) }

type seeded struct{ *rand.Rand }

func (r seeded) pick(_ string, n int) int { return r.IntN(n) }

const planLasts = 30 * time.Second

func drawPlan(p picker) plan {
	rates := []rate.Limit{1, 5, 25, 100}
	bursts := []int{1, 2, 3, 10, 25, 100}
	out := plan{
		seed:  uint64(p.pick("seed", 1<<30)),
		limit: Limit{Name: "account", Rate: rates[p.pick("rate", len(rates))], Burst: bursts[p.pick("burst", len(bursts))]},
		drops: []float64{0, 0, 0.05, 0.5}[p.pick("drops", 4)],
	}
	for range 2 + p.pick("processes", 3) {
		out.loads = append(out.loads, []float64{0, 0.05, 0.5, 2}[p.pick("load", 4)]*float64(out.limit.Rate))
		out.costs = append(out.costs, []float64{1, 1, 0.5, 2.5}[p.pick("cost", 4)])
	}
	for range p.pick("mishaps", 12) {
		out.mishaps = append(out.mishaps, mishap{
			at:   time.Duration(p.pick("at", int(planLasts/time.Millisecond))) * time.Millisecond,
			kind: []string{"kill", "stop", "leave", "join", "late reads", "late writes", "load", "rebalance", "owner", "stop granter"}[p.pick("kind", 10)],
			who:  p.pick("who", 5),
			d:    []time.Duration{0, 300 * time.Millisecond, 2 * time.Second, 4 * time.Second, 12 * time.Second}[p.pick("for", 5)],
		})
	}
	return out
}

// drawStall is a plan in which the granter falls silent for about a term, so
// that its next rounds and the static demands of the others cross.
func drawStall(p picker) plan {
	ms := func(name string, from, to int) time.Duration {
		return time.Duration(from+p.pick(name, to-from)) * time.Millisecond
	}
	out := plan{seed: uint64(p.pick("seed", 1<<30)), limit: Limit{Name: "account", Rate: 25, Burst: 25}}
	for range 3 + p.pick("processes", 2) {
		out.loads = append(out.loads, []float64{1, 50}[p.pick("load", 2)])
		out.costs = append(out.costs, 1)
	}
	stalls := ms("stalls at", 12_000, 13_000)
	out.mishaps = []mishap{
		{at: stalls, kind: "late granter", d: ms("late", 0, 1200)},
		{at: stalls, kind: "stop granter", d: ms("for", 2000, 5000)},
	}
	for range p.pick("readers", 3) {
		out.mishaps = append(out.mishaps, mishap{at: stalls, kind: "late reads", who: p.pick("who", 5), d: ms("behind", 0, 2000)})
	}
	return out
}

// drawRestarts is a plan in which processes are killed and started again under
// their names, the granter most of all, while others read and write late.
func drawRestarts(p picker) plan {
	ms := func(name string, from, to int) time.Duration {
		return time.Duration(from+p.pick(name, to-from)) * time.Millisecond
	}
	out := plan{
		seed: uint64(p.pick("seed", 1<<30)), limit: Limit{Name: "account", Rate: 25, Burst: []int{2, 10, 25}[p.pick("burst", 3)]},
		drops: []float64{0, 0, 0.05}[p.pick("drops", 3)], blind: p.pick("blind", 2) == 1,
	}
	for range 3 + p.pick("processes", 2) {
		out.loads = append(out.loads, []float64{1, 12, 50}[p.pick("load", 3)])
		out.costs = append(out.costs, 1)
	}
	for at := ms("first", 4000, 12_000); at < planLasts; at += ms("next", 100, 6000) {
		kind := []string{"restart", "restart granter", "restart granter", "late reads", "late writes", "late granter", "late granter", "stop", "owner", "owner", "load", "rebalance"}[p.pick("kind", 12)]
		out.mishaps = append(out.mishaps, mishap{at: at, kind: kind, who: p.pick("who", 5), d: ms("for", 0, 2500)})
	}
	return out
}

// run plays a plan and returns what went wrong.
func (pl plan) run(bug func(*process, *message)) (*sim, error) {
	s := newSim(pl.seed, pl.limit)
	s.drops, s.bug, s.shortSight = pl.drops, bug, pl.blind
	if pl.takes > 0 {
		s.takes = rate.NewLimiter(pl.limit.Rate*rate.Limit(pl.takes), 1)
	}
	for i, load := range pl.loads {
		s.join(load, pl.costs[i])
	}
	const tick = 10 * time.Millisecond
	for s.now < planLasts {
		for _, m := range pl.mishaps {
			if m.at >= s.now && m.at < s.now+tick {
				s.befall(m)
			}
		}
		if err := s.step(tick); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *sim) befall(m mishap) {
	present := slices.DeleteFunc(slices.Clone(s.peers), func(p *process) bool { return p.replaced })
	p := present[m.who%len(present)]
	switch m.kind {
	case "kill":
		s.kill(p)
	case "stop":
		s.stop(p, m.d)
	case "restart":
		if !p.dead {
			s.kill(p)
			p.backAt = s.now + m.d
		}
	case "restart granter":
		if s.owner != nil && !s.owner.dead {
			s.kill(s.owner)
			s.owner.backAt = s.now + m.d
		}
	case "stop granter":
		if s.owner != nil {
			s.stop(s.owner, m.d)
		}
	case "late granter":
		if s.owner != nil {
			s.owner.writeLag = 10*time.Millisecond + m.d
		}
	case "leave":
		if !p.dead && !s.stopped(p) {
			p.outbox = append(p.outbox, write{value: p.end(s.clock(p)).encode(), at: s.now + p.writeLag})
			s.kill(p)
		}
	case "join":
		s.join(2*float64(s.limit.Rate), 1)
	case "late reads":
		p.readLag = 10*time.Millisecond + m.d
	case "late writes":
		p.writeLag = 10*time.Millisecond + m.d
	case "load":
		p.load = m.d.Seconds() * float64(s.limit.Rate)
	case "rebalance":
		s.rebalance()
	case "owner": // two think they are: the group moved the partition
		s.owner = p
		p.granter.own(true)
	}
}

// TestNothingOvershoots: whatever happens to processes and records, at every
// instant the live shares fit into the limit, and the vendor sees at most
// R*w + b in every window.
func TestNothingOvershoots(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.SampledFrom([]func(picker) plan{drawPlan, drawStall, drawRestarts}).Draw(t, "kind of plan")
		pl := draw(rapidly{t})
		pl.takes = rapid.SampledFrom([]float64{0, 0, 0.5, 0.1}).Draw(t, "takes")
		if _, err := pl.run(nil); err != nil {
			t.Fatalf("%v\n%+v", err, pl)
		}
	})
}

// TestTheModelFindsBugs plants one at a time; the plans above must find it.
func TestTheModelFindsBugs(t *testing.T) {
	t.Parallel()
	const enough = 100
	for name, bug := range map[string]func(*process, *message){
		"a share lives from its receipt": func(p *process, _ *message) {
			for seq := range p.sent {
				p.sent[seq] = p.demanded.Add(p.term)
			}
		},
		"a new granter does not wait": func(p *process, m *message) {
			if m == nil {
				p.granter.from = time.Time{}
			}
		},
		"a new granter forgets what was promised": func(p *process, m *message) {
			if m != nil && m.Claim {
				p.past.rounds = nil
			}
		},
		"a new granter believes that it knows all": func(p *process, m *message) {
			if m != nil && m.Claim {
				p.past.horizon = max(p.past.horizon, p.order.start, 1)
			}
		},
		"a new granter minds no static share": func(p *process, m *message) {
			if m != nil && m.Claim {
				p.past.unknown = 0
				p.past.rounds = slices.DeleteFunc(p.past.rounds, func(h heard) bool { return h.by.from == "" })
			}
		},
		"the horizon is where somebody has read to": func(_ *process, m *message) {
			if m != nil {
				m.Horizon = m.Basis + 1
			}
		},
		"what shrinks is free at once": func(p *process, _ *message) {
			for _, l := range p.granter.limits {
				for id, held := range l.ledger.held {
					l.ledger.held[id] = held[len(held)-1:]
				}
			}
		},
		"a static share does not wait for the end of the others": func(p *process, m *message) {
			if m == nil && p.id == "w1/0" && !p.quiet.IsZero() {
				p.quiet = p.quiet.Add(-2 * Term)
				p.bucket.granted = lease{}
			}
		},
		"a granter minds no static demand": func(p *process, m *message) {
			if m != nil && m.Demand != nil && m.From != p.id {
				d := *m.Demand
				d.Static, m.Demand = false, &d
			}
		},
		"no record is void": func(p *process, m *message) {
			if m != nil {
				m.Basis = p.order.basis()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 2))
			for n := range enough {
				draw := []func(picker) plan{drawPlan, drawRestarts, drawStall, drawRestarts}[n%4]
				if _, err := draw(seeded{rng}).run(bug); err != nil {
					t.Logf("found by plan %d: %v", n+1, err)
					return
				}
			}
			t.Errorf("not found in %d plans", enough)
		})
	}
}

// TestQuotaIsUsed: the model is not safe because nothing is ever sent.
func TestQuotaIsUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit Limit
		loads []float64 // parts of the rate
		least float64
	}{
		"skewed":                        {Limit{Rate: 100, Burst: 100}, []float64{2, 0.05, 0.05}, 0.95},
		"all want more":                 {Limit{Rate: 100, Burst: 100}, []float64{2, 2, 2}, 0.95},
		"one alone":                     {Limit{Rate: 100, Burst: 100}, []float64{2}, 0.95},
		"one busy, nine idle":           {Limit{Rate: 25, Burst: 25}, []float64{2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0.95},
		"a small burst":                 {Limit{Rate: 25, Burst: 5}, []float64{2, 2, 2}, 0.9},
		"turns, because the burst is 1": {Limit{Rate: 20, Burst: 1}, []float64{2, 2, 2}, 0.85},
		"turns of a slow limit":         {Limit{Rate: 0.5, Burst: 1}, []float64{2, 2, 2}, 0.85},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.limit.Name = "account"
			s := newSim(1, c.limit)
			for _, load := range c.loads {
				s.join(load*float64(c.limit.Rate), 1)
			}
			for s.now < 100*time.Second {
				if err := s.step(5 * time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
			used := s.vendor.used(10*time.Second, s.now)
			t.Logf("used %.3f; worst windows of 0.1, 1, 10 s: %.3f %.3f %.3f", used,
				s.vendor.worst(100*time.Millisecond), s.vendor.worst(time.Second), s.vendor.worst(10*time.Second))
			if used < c.least {
				t.Errorf("used %.3f of the quota, want %.2f", used, c.least)
			}
		})
	}
}
