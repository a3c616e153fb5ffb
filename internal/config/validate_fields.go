package config

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"holdfast.internal/sinks"
)

// fields holds what a sink asks of its records against the schema of its
// topic, if that is compiled in: records are read as its newest version says.
func (v *validator) fields(sink string, s *Sink) {
	record := v.known.Topics[s.In]
	if record == "" || v.known.Field == nil {
		return
	}
	asks := s.asks
	if kind, name, _ := strings.Cut(s.Tenant, ":"); kind == "field" {
		asks = append(slices.Clone(asks), sinks.Field{Key: "tenant", Path: name})
	}
	for _, f := range asks {
		at, named, more := child(sink, f.Key), strconv.Quote(f.Path), ""
		is, near := v.known.Field(s.In, f.Path)
		switch m := v.marks[at]; {
		case f.Key == "":
			at, more = child(sink, "in"), ": a sink of kind "+s.Kind+" needs it"
		case m.expanded && !strings.Contains(m.source, f.Path):
			named = `"${...}"` // it came from the environment, or a file
		case is == "":
			more = DidYouMean(f.Path, near)
		}
		switch {
		case is == "":
			v.check(at, nil, "%s has no field %s%s", record, named, more)
		case len(f.Types) > 0 && is != "union" && !slices.ContainsFunc(f.Types, func(t string) bool { ok, err := path.Match(t, is); return ok && err == nil }):
			v.check(at, nil, "%s of %s is of type %s, and must be one of %s%s", named, record, is, strings.Join(f.Types, ", "), more)
		}
	}
}
