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
			v.check(at, "a sink of kind %s has no endpoints to tell apart", s.Kind)
		case !slices.Contains(names, name):
			v.check(at, "%q must be one of the endpoints of kind %s: %s%s", name, s.Kind, strings.Join(names, ", "), DidYouMean(name, names))
		}
	}
	d := s.Limits.Daily
	switch {
	case d == (Daily{}):
	case d.Header == "":
		v.check(child(path, "daily"), "header must be given: it tells what is used")
	case !k.hearsDaily():
		v.check(child(path, "daily"), "a sink of kind %s hears of no daily quota", s.Kind)
	case s.Limits.Rate.PerSecond() <= 0 && s.Tenant == "":
		v.check(child(path, "daily"), "limits.rate must be given too: it is what replicas share")
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
