package config

import (
	"maps"
	"slices"
	"strings"
)

// limits checks that each limit means something, and what only some kinds of
// sinks can keep.
func (v *validator) limits(path string, s *Sink) {
	v.rates(path, s)
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

// rates refuses what would limit nothing, and warns of what cannot be reached.
func (v *validator) rates(path string, s *Sink) {
	l := s.Limits
	v.burst(path, l.Rate, l.Burst)
	v.burst(child(path, "per_tenant"), l.PerTenant.Rate, l.PerTenant.Burst)
	if l.PerTenant != (TenantLimits{}) && s.Tenant == "" {
		v.check(child(path, "per_tenant"), []string{child(parent(path), "tenant")}, "tenant must be given too: it says whose a record is")
	}
	if l.Account != "" && l.Rate == (Rate{}) && len(l.Endpoints) == 0 {
		v.check(child(path, "account"), []string{child(path, "rate"), child(path, "endpoints")}, "%q shares nothing without a limit: rate or endpoints must be given too", l.Account)
	}
	v.reachable(child(path, "per_tenant.rate"), l.PerTenant.Rate, l.Rate)
	for name, e := range l.Endpoints {
		v.reachable(child(path, "endpoints."+name+".rate"), e.Rate, l.Rate)
	}
}

func (v *validator) burst(path string, rate Rate, burst int) {
	if burst > 0 && rate == (Rate{}) {
		v.check(child(path, "burst"), []string{child(path, "rate")}, "%d means nothing without a rate: rate must be given too", burst)
	}
}

func (v *validator) reachable(path string, rate, whole Rate) {
	if most := whole.PerSecond(); most > 0 && rate.PerSecond() > most {
		v.warn(path, "%s is never reached: limits.rate is %s for all together", rate, whole)
	}
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
