package config

import (
	"maps"
	"slices"
	"strings"
)

// limits checks what only some kinds of sinks can keep.
func (v *validator) limits(path string, s *Sink) {
	k, ok := v.known.Sinks[s.Kind]
	if !ok {
		return
	}
	names := k.endpoints()
	for _, name := range slices.Sorted(maps.Keys(s.Limits.Endpoints)) {
		at := child(path, "endpoints."+name)
		switch {
		case len(names) == 0:
			v.check(at, nil, "a sink of kind %s has no endpoints to tell apart", s.Kind)
		case !slices.Contains(names, name):
			v.check(at, nil, "%q must be one of the endpoints of kind %s: %s%s", name, s.Kind, strings.Join(names, ", "), DidYouMean(name, names))
		}
	}
	v.daily(path, child(path, "daily"), s, k)
}

func (v *validator) daily(limits, path string, s *Sink, k Kind) {
	if s.Limits.Daily == (Daily{}) && !v.isBroken(path) {
		return
	}
	if !k.hearsDaily() {
		v.check(path, nil, "a sink of kind %s hears of no daily quota", s.Kind)
		return
	}
	if s.Limits.Daily.Header == "" {
		v.check(path, []string{child(path, "header")}, "header must be given: it tells what is used")
	}
	if s.Limits.Rate.PerSecond() <= 0 && s.Tenant == "" {
		v.check(path, []string{child(limits, "rate"), child(parent(limits), "tenant")}, "limits.rate must be given too: it is what replicas share")
	}
}

// endpoints are the names that a kind gives its endpoints.
func (k Kind) endpoints() []string {
	if e, ok := k.Config().(interface{ Endpoints() []string }); ok {
		return e.Endpoints()
	}
	return nil
}

func (k Kind) hearsDaily() bool {
	d, ok := k.Config().(interface{ HearsDaily() bool })
	return ok && d.HearsDaily()
}
