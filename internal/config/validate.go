package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// validator checks what a schema cannot say.
type validator struct {
	*document
	known Known
}

func (v *validator) config(c *Config) {
	v.kafka(c.Kafka)
	v.registry(c.SchemaRegistry)
	v.names(c)
	for i, p := range c.Processors {
		v.processor(item("processors", i), p)
	}
	v.cycles(c.Processors)
	v.accounts(c.Sinks)
	for i := range c.Sinks {
		v.sink(item("sinks", i), &c.Sinks[i])
		v.egress(item("sinks", i), &c.Sinks[i], c)
	}
	v.outbox(c.Outbox)
	if !address(c.HTTP.Listen, 0) {
		v.check("http.listen", nil, "%s must be host:port", v.shown("http.listen", c.HTTP.Listen))
	}
	v.alerts(c.Alerts)
}

func (v *validator) kafka(k Kafka) {
	for i, b := range k.Brokers {
		if !address(b, 1) {
			path := item("kafka.brokers", i)
			v.check(path, nil, "%s must be host:port", v.shown(path, b))
		}
	}
	if k.TLS != nil && (k.TLS.CertFile == "") != (k.TLS.KeyFile == "") {
		v.check("kafka.tls", []string{"kafka.tls.cert_file", "kafka.tls.key_file"}, "cert_file and key_file must be given together")
	}
	if k.SASL != nil && k.SASL.Password == "" {
		v.check("kafka.sasl", []string{"kafka.sasl.password"}, "password or password_file must be given")
	}
}

func (v *validator) registry(r SchemaRegistry) {
	u, err := url.Parse(r.URL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		v.check("schema_registry.url", nil, "must be http://host or https://host, with a base path if need be")
	case u.User != nil:
		v.check("schema_registry.url", nil, "must hold no user or password: they belong under username and password")
	}
	if (r.Username == "") != (r.Password == "") {
		v.check("schema_registry", []string{"schema_registry.username", "schema_registry.password"}, "username and password must be given together")
	}
	if !strings.HasSuffix(r.Compatibility, "_transitive") {
		v.warn("schema_registry.compatibility", "%s is not transitive: records lie in retry and dead-letter topics for long, and a later version may no longer read them", r.Compatibility)
	}
}

// names must be Kafka-safe and tell apart everything that has topics of its own.
func (v *validator) names(c *Config) {
	owner := map[string]string{}
	claim := func(path, name string) {
		if !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(name) || len(name) > 100 {
			v.check(path, nil, "%s must be words of small letters and digits with dashes between them, 100 characters at most", v.shown(path, name))
			return
		}
		if first, taken := owner[name]; taken {
			v.check(path, nil, "%q is the name of %s too, and both would use dlq.%s", name, first, name)
			return
		}
		owner[name] = parent(path)
	}
	for i, p := range c.Processors {
		claim(child(item("processors", i), "name"), p.Name)
	}
	for i, s := range c.Sinks {
		claim(child(item("sinks", i), "name"), s.Name)
	}
}

// address reports whether text is host:port, with a port of at least lowest.
func address(text string, lowest uint64) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || (lowest > 0 && host == "") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n >= lowest
}

func (v *validator) outbox(o Outbox) {
	if o.Kind == "" && (o.DSN != "" || len(o.Topics) > 0 || v.isBroken("outbox.dsn") || v.isBroken("outbox.topics")) {
		v.check("outbox", []string{"outbox.kind"}, "kind must be given: sqlite or postgres")
	}
	prefixes := map[string][]string{"sqlite": {"sqlite:"}, "postgres": {"postgres://", "postgresql://"}}[o.Kind]
	if o.Kind != "" && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(o.DSN.Reveal(), p) }) {
		v.check("outbox.dsn", nil, "must begin with %s, as kind is %s", prefixes[0], o.Kind)
	}
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`).MatchString(o.Table) {
		v.check("outbox.table", nil, "%s must be a table's name, or schema.table", v.shown("outbox.table", o.Table))
	}
	if o.Keep < 0 {
		v.check("outbox.keep", nil, "%s must not be negative", o.Keep)
	}
	for alias, topic := range o.Topics {
		v.writable(child("outbox.topics", alias), topic)
	}
}

func (v *validator) alerts(a Alerts) {
	if u := a.Slack.URL.Reveal(); u != "" && !strings.HasPrefix(u, "https://") {
		v.check("alerts.slack.url", nil, "must begin with https://")
	}
	if a.Slack.URL == "" && (a.Slack.Channel != "" || v.isBroken("alerts.slack.channel")) {
		v.check("alerts.slack", []string{"alerts.slack.url"}, "url or url_file must be given where channel is")
	}
}

// egress refuses literal destinations that the guard of the HTTP client would
// refuse at the first delivery.
func (v *validator) egress(path string, s *Sink, c *Config) {
	for _, key := range []string{"base_url", "url"} {
		raw, _ := s.Section.values[key].(string)
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			continue
		}
		at := child(path, key)
		if u.Scheme == "http" && !c.Egress.AllowHTTP {
			v.check(at, []string{"egress.allow_http"}, "plain http is refused: use https, or set egress.allow_http: true")
		}
		if ip, ok := literal(u.Hostname()); ok && private(ip) && !slices.ContainsFunc(c.Egress.AllowCIDRs, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			v.check(at, []string{"egress.allow_cidrs"}, "%s is not a public address: add its network to egress.allow_cidrs", ip)
		}
	}
}

func literal(host string) (netip.Addr, bool) {
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	return ip.Unmap(), err == nil
}

func private(ip netip.Addr) bool {
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()
}
