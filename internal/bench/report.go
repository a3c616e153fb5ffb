package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// report is the JSON object at the end of a run.
type report struct {
	Kafka string   `json:"kafka"`
	Cases []result `json:"cases"`
	Sizes []sized  `json:"sizes,omitempty"`
	// Missed names the goals that were.
	Missed []string `json:"missed"`
}

// result is one case.
type result struct {
	Case    string    `json:"case"`
	Ideal   float64   `json:"ideal,omitempty"` // records a second
	Figures []figures `json:"figures"`

	spec benchCase
}

func (r *result) of(contender string) *figures {
	for i := range r.Figures {
		if r.Figures[i].Contender == contender {
			return &r.Figures[i]
		}
	}
	return nil
}

// judge lists what misses its goal.
func (r *report) judge() {
	r.Missed = []string{}
	for i := range r.Sizes {
		r.Missed = append(r.Missed, r.Sizes[i].miss()...)
	}
	for _, c := range r.Cases {
		e := c.of(engine)
		if e == nil {
			continue
		}
		r.miss(c.Case, "of_raw", e.OfRaw, c.spec.OfRaw)
		r.miss(c.Case, "of_ideal", e.OfIdeal, c.spec.OfIdeal)
		r.miss(c.Case, "of_lanes", e.OfLanes, c.spec.OfLanes)
		if e.CPULanes > cpuGoal {
			r.Missed = append(r.Missed, fmt.Sprintf("%s: cpu_of_lanes %.2f > %.2f", c.Case, e.CPULanes, cpuGoal))
		}
	}
}

func (r *report) miss(name, what string, have, goal float64) {
	if have > 0 && have < goal {
		r.Missed = append(r.Missed, fmt.Sprintf("%s: %s %.3f < %.2f", name, what, have, goal))
	}
}

// compare fills in the ratios of one round.
func (r *result) compare() {
	ceiling, hand := r.of(raw), r.of(lanes)
	for i := range r.Figures {
		f := &r.Figures[i]
		if ceiling != nil && ceiling.Rate > 0 {
			f.OfRaw = f.Rate / ceiling.Rate
		}
		if r.Ideal > 0 {
			f.OfIdeal = f.Rate / r.Ideal
		}
		if hand != nil && hand.Rate > 0 {
			f.OfLanes, f.CPULanes = f.Rate/hand.Rate, f.CPUMicros/hand.CPUMicros
		}
	}
}

// median takes each figure's median over the rounds. Contenders that did not
// run in every round have that of theirs.
func median(rounds []result) result {
	m := rounds[0]
	m.Figures = slices.Clone(m.Figures)
	for i := range m.Figures {
		f := &m.Figures[i]
		var seen []figures
		for _, r := range rounds {
			if g := r.of(f.Contender); g != nil {
				seen = append(seen, *g)
			}
		}
		middle := func(of func(figures) float64) float64 {
			slices.SortFunc(seen, func(a, b figures) int { return cmp.Compare(of(a), of(b)) })
			return of(seen[len(seen)/2])
		}
		f.Rate = middle(func(f figures) float64 { return f.Rate })
		f.CPUMicros = middle(func(f figures) float64 { return f.CPUMicros })
		f.Allocs = middle(func(f figures) float64 { return f.Allocs })
		f.AllocKiB = middle(func(f figures) float64 { return f.AllocKiB })
		f.RSSMiB = middle(func(f figures) float64 { return f.RSSMiB })
		f.OfRaw = middle(func(f figures) float64 { return f.OfRaw })
		f.OfIdeal = middle(func(f figures) float64 { return f.OfIdeal })
		f.OfLanes = middle(func(f figures) float64 { return f.OfLanes })
		f.CPULanes = middle(func(f figures) float64 { return f.CPULanes })
	}
	return m
}

// table prints the figures for people.
func (r *report) table(w io.Writer) {
	if len(r.Cases) > 0 {
		r.compared(w)
	}
	if len(r.Sizes) > 0 {
		r.sized(w)
	}
	for _, missed := range r.Missed {
		_, _ = fmt.Fprintln(w, "missed:", missed)
	}
}

func (r *report) compared(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "case\tcontender\trecords/s\tof raw\tof lanes\tof ideal\tCPU µs\tof lanes\tallocs\tKiB\tRSS MiB\t")
	for _, c := range r.Cases {
		for _, f := range c.Figures {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%.0f\t%s\t%s\t%s\t%.1f\t%s\t%.0f\t%.1f\t%.0f\t\n", c.Case, f.Contender, f.Rate,
				ratio(f.OfRaw), ratio(f.OfLanes), ratio(f.OfIdeal), f.CPUMicros, ratio(f.CPULanes), f.Allocs, f.AllocKiB, f.RSSMiB)
		}
	}
	_ = t.Flush()
}

func (r *report) sized(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "case\trecords\tRSS MiB\tassigned s\tfirst send s\tdrain/s\tof steady\tCPU µs\tlate p50 s\tp99 s\tload\t")
	for _, f := range r.Sizes {
		late := f.Late
		if late == nil {
			late = &lateness{}
		}
		_, _ = fmt.Fprintf(t, "%s\t%d\t%.0f\t%.2f\t+%.2f\t%.0f\t%s\t%.1f\t%.2f\t%.2f\t%.1f\t\n", f.Case, f.Records, f.RSSMiB, f.Assigned,
			f.AfterAssigned, f.Drain, ratio(f.OfSteady), f.CPUMicros, late.Median, late.P99, f.Load)
	}
	_ = t.Flush()
}

func ratio(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", x)
}
