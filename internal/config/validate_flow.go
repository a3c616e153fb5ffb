package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

func (v *validator) processor(path string, p Processor) {
	v.readable(child(path, "in"), p.In)
	v.writable(child(path, "out"), p.Out)
	if v.known.Processors == nil {
		return
	}
	t, ok := v.known.Processors[p.Name]
	if !ok {
		names := slices.Sorted(maps.Keys(v.known.Processors))
		v.check(child(path, "name"), nil, "%q must be one of the processors that are compiled in: %s%s",
			p.Name, strings.Join(names, ", "), DidYouMean(p.Name, names))
		return
	}
	v.record(child(path, "in"), p.In, t.In)
	v.record(child(path, "out"), p.Out, t.Out)
}

// record compares what travels on a topic with what a transform is made for.
func (v *validator) record(path, topic, want string) {
	if got := v.known.Topics[topic]; got != "" && want != "" && got != want {
		v.check(path, nil, "%q carries %s, and this processor is made for %s", topic, got, want)
	}
}

// cycles refuses processors that feed each other: their records would never end.
func (v *validator) cycles(list []Processor) {
	for i, p := range list {
		if v.isBroken(item("processors", i)) {
			continue
		}
		seen := map[string]bool{}
		next := []string{p.Out}
		for len(next) > 0 {
			topic := next[0]
			next = next[1:]
			if topic == p.In {
				v.check(child(item("processors", i), "out"), nil, "%q comes back to %q, which this processor reads: a record would never come to rest", p.Out, p.In)
				break
			}
			if seen[topic] {
				continue
			}
			seen[topic] = true
			for _, q := range list {
				if q.In == topic && q.Out != "" {
					next = append(next, q.Out)
				}
			}
		}
	}
}

func (v *validator) sink(path string, s *Sink) {
	v.readable(child(path, "in"), s.In)
	v.tiers(child(path, "retry.tiers"), s.Retry.Tiers)
	v.maxAge(child(path, "retry"), s.Retry)
	for key, d := range map[string]time.Duration{
		"timeout": s.Timeout, "limits.max_hold": s.Limits.MaxHold, "retry.max_age": s.Retry.MaxAge, "breaker.max_suspect": s.Breaker.MaxSuspect,
	} {
		if d <= 0 {
			v.check(child(path, key), nil, "%s must be above 0", d)
		}
	}
	if s.DLQ.Retention < 0 {
		v.check(child(path, "dlq.retention"), nil, "%s must not be negative (0 keeps dead letters for ever)", s.DLQ.Retention)
	}
	for i, family := range s.DLQ.CompatHeaders {
		if slices.Contains(record.Families(), family) {
			continue
		}
		var families []string
		for _, f := range record.Families() {
			families = append(families, string(f))
		}
		at := item(child(path, "dlq.compat_headers"), i)
		v.check(at, nil, "%s must be one of %s%s", v.shown(at, string(family)), strings.Join(families, ", "), DidYouMean(string(family), families))
	}
	if k, ok := v.known.Sinks[s.Kind]; ok && s.OnTombstone == TombstoneDelete && !k.has("on_tombstone") {
		v.check(child(path, "on_tombstone"), nil, "delete is for tables; a sink of kind %s takes dead_letter or skip", s.Kind)
	}
	v.limits(child(path, "limits"), s)
	v.fields(path, s)
}

// accounts refuses sinks that share a limit and disagree about it.
func (v *validator) accounts(list []Sink) {
	first := map[string]int{}
	for i, s := range list {
		if s.Limits.Account == "" {
			continue
		}
		before, ok := first[s.Limits.Account]
		if !ok {
			first[s.Limits.Account] = i
			continue
		}
		shared := func(key string, keys []string, what string) {
			var needs []string
			for _, k := range keys {
				needs = append(needs, child(item("sinks", i), "limits."+k), child(item("sinks", before), "limits."+k))
			}
			v.check(child(item("sinks", i), "limits."+key), needs, "%q is shared with sinks[%d], which must have the same %s", s.Limits.Account, before, what)
		}
		a, b := list[before].Limits, s.Limits
		if a.Rate != b.Rate || a.Burst != b.Burst {
			shared("account", []string{"rate", "burst"}, "rate and burst")
		}
		if a.Daily != b.Daily {
			shared("account", []string{"daily"}, "daily quota")
		}
		for name, e := range b.Endpoints {
			if other, ok := a.Endpoints[name]; ok && other != e {
				shared("endpoints."+name, []string{"endpoints." + name}, "rate and burst for this endpoint")
			}
		}
	}
}

func (v *validator) tiers(path string, tiers []time.Duration) {
	var before time.Duration // of those that could be read
	for i, d := range tiers {
		at := item(path, i)
		if v.lost(at) {
			continue
		}
		if d < 10*time.Millisecond {
			v.check(at, nil, "%s must be at least 10ms", d)
		} else if d%time.Millisecond != 0 {
			v.check(at, nil, "%s must be whole milliseconds, as topics are named after it", d)
		}
		if i > 0 && d <= before {
			v.check(at, nil, "%s must be longer than the tier before it (%s)", topics.Tier(d), topics.Tier(before))
		}
		before = d
	}
}

// maxAge is counted from the first failure: who waited for longer in the tiers
// is a dead letter as soon as it is throttled.
func (v *validator) maxAge(path string, r Retry) {
	var all time.Duration
	for _, d := range r.Tiers {
		all += d
	}
	if r.MaxAge > 0 && r.MaxAge <= all && !v.isBroken(child(path, "tiers")) {
		v.warn(child(path, "max_age"), "%s is not longer than the tiers together (%s): a record that is throttled after them is a dead letter at once",
			topics.Tier(r.MaxAge), topics.Tier(all))
	}
}

// readable checks a topic to read; one without a compiled-in schema may still
// have one in the registry.
func (v *validator) readable(path, topic string) {
	if v.topicName(path, topic) && !v.isKnown(topic) {
		v.warn(path, "%q has no schema in schemas/; the registry must have one%s", topic, DidYouMean(topic, slices.Sorted(maps.Keys(v.known.Topics))))
	}
}

// writable checks a topic to write, for which a schema must be compiled in.
func (v *validator) writable(path, topic string) {
	if v.topicName(path, topic) && !v.isKnown(topic) {
		v.check(path, nil, "%q must be a topic with a schema in schemas/%s", topic, DidYouMean(topic, slices.Sorted(maps.Keys(v.known.Topics))))
	}
}

func (v *validator) isKnown(topic string) bool {
	return v.known.Topics == nil || v.known.Topics[topic] != ""
}

func (v *validator) topicName(path, topic string) bool {
	problem := ""
	switch {
	case !regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`).MatchString(topic) || topic == "." || topic == "..":
		problem = "must be a topic's name: letters, digits, dots and dashes, 200 at most"
	case slices.ContainsFunc([]string{"retry.", "redrive.", "dlq.", "holdfast."}, func(p string) bool { return strings.HasPrefix(topic, p) }):
		problem = "must be a data topic: names that begin with retry., redrive., dlq. or holdfast. are holdfast's own"
	}
	if problem != "" {
		v.check(path, nil, "%s %s", v.shown(path, topic), problem)
	}
	return problem == ""
}
