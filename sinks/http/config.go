package http

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"holdfast.internal"
	"holdfast.internal/sinks"
)

// Config is what a user writes for kind http.
type Config struct {
	// BaseURL is the destination's root, such as https://api.example.com/v1.
	BaseURL string `yaml:"base_url"`
	// URL is absolute, or a path under base_url; empty means base_url itself. Its
	// path and query may hold {key} for the record's key and {field} or
	// {record.field} for a field of its value, each escaped.
	URL string `yaml:"url"`
	// Method is POST, PUT, PATCH or DELETE.
	Method string `yaml:"method"`
	// Headers are sent with every request, besides the sink's own; none by default.
	Headers map[string]string `yaml:"headers"`
	// Auth says how the sink names itself; not at all by default.
	Auth Auth `yaml:"auth"`
	// Idempotency says how the idempotency key is sent.
	Idempotency Idempotency `yaml:"idempotency"`
	// Timeout bounds a whole request, such as 10s; that of the sink by default.
	Timeout time.Duration `yaml:"timeout"`
}

// Auth holds one of: bearer; username and password; header and value.
type Auth struct {
	// Bearer is a token, sent as Authorization: Bearer.
	Bearer holdfast.Secret `yaml:"bearer"`
	// Username is sent with password as Authorization: Basic. Where one of them is empty, write header: Authorization.
	Username string `yaml:"username"`
	// Password is that of username.
	Password holdfast.Secret `yaml:"password"`
	// Header is the name of a field that carries value, such as X-Api-Key.
	Header string `yaml:"header"`
	// Value is what stands in header.
	Value holdfast.Secret `yaml:"value"`
}

// Idempotency says how the idempotency key is sent.
type Idempotency struct {
	// Header is the field's name.
	Header string `yaml:"header"`
	// Quote sends the key as a quoted string, as draft-ietf-httpapi-idempotency-key asks.
	Quote bool `yaml:"quote"`
}

const defaultKeyHeader = "Idempotency-Key"

// SetDefaults gives what is empty its default, as [New] does.
func (c *Config) SetDefaults() {
	c.Method = cmp.Or(c.Method, http.MethodPost)
	c.Idempotency.Header = cmp.Or(c.Idempotency.Header, defaultKeyHeader)
}

// HearsDaily says that answers are searched for the count of a daily quota.
func (Config) HearsDaily() bool { return true }

// Fields lists those that placeholders name.
func (c Config) Fields() []sinks.Field {
	t, err := c.target()
	if err != nil {
		return nil
	}
	var named []sinks.Field
	for _, p := range t.parts {
		if p.field == nil {
			continue
		}
		f := sinks.Field{Key: "url", Path: strings.Join(p.field, "."), Types: plainTypes()}
		if !strings.Contains(c.URL, "{"+f.Path+"}") {
			f.Key = "base_url"
		}
		named = append(named, f)
	}
	return named
}

// Validate reports every broken rule by key, value and rule.
func (c Config) Validate() error {
	_, err := c.target()
	return errors.Join(err, c.validateMethod(), c.validateHeaders(), c.Auth.validate(), c.validateTimeout())
}

func (c Config) validateMethod() error {
	allowed := []string{"", http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	if slices.Contains(allowed, c.Method) {
		return nil
	}
	return fmt.Errorf("method: %q must be one of POST, PUT, PATCH, DELETE", c.Method)
}

func (c Config) validateTimeout() error {
	if c.Timeout < 0 {
		return fmt.Errorf("timeout: %s must not be negative", c.Timeout)
	}
	return nil
}

func (c Config) validateHeaders() error {
	var errs []error
	key := cmp.Or(c.Idempotency.Header, defaultKeyHeader)
	for name, value := range c.Headers {
		if err := validHeader(name, "Authorization", defaultKeyHeader, key, c.Auth.Header); err != nil {
			errs = append(errs, fmt.Errorf("headers.%s: %w", name, err))
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			errs = append(errs, fmt.Errorf("headers.%s: the value must hold no control characters", name))
		}
	}
	// What two of them set has the value of one: without its key a request is
	// not idempotent, and without credentials nothing is delivered.
	if err := validHeader(key, "Authorization", "Content-Type", "User-Agent"); err != nil {
		errs = append(errs, fmt.Errorf("idempotency.header: %w", err))
	}
	if c.Auth.Header != "" {
		if err := validHeader(c.Auth.Header, "Content-Type", "User-Agent", key); err != nil {
			errs = append(errs, fmt.Errorf("auth.header: %w", err))
		}
	}
	return errors.Join(errs...)
}

// validHeader refuses names that the transport or the sink sets itself, and
// those of more.
func validHeader(name string, more ...string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%q must be a header name", name)
	}
	ours := append([]string{
		"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade", "Te",
		headerEventID, headerKey, headerAttempt,
	}, more...)
	if slices.ContainsFunc(ours, func(o string) bool { return strings.EqualFold(o, name) }) {
		return fmt.Errorf("%s is set by the sink itself and must not be given (credentials belong under auth)", textproto.CanonicalMIMEHeaderKey(name))
	}
	return nil
}

func (a Auth) validate() error {
	ways := 0
	for _, used := range []bool{a.Bearer != "", a.Username != "" || a.Password != "", a.Header != "" || a.Value != ""} {
		if used {
			ways++
		}
	}
	var errs []error
	if ways > 1 {
		errs = append(errs, errors.New("auth: only one of bearer, username and password, header and value may be given"))
	}
	if (a.Header == "") != (a.Value == "") {
		errs = append(errs, errors.New("auth (auth.header, auth.value): header and value must be given together"))
	}
	if (a.Username == "") != (a.Password == "") {
		errs = append(errs, errors.New("auth (auth.username, auth.password): username and password must be given together (where one is empty: header: Authorization, value: Basic ...)"))
	}
	for key, credential := range map[string]holdfast.Secret{"value": a.Value, "bearer": a.Bearer} {
		if !httpguts.ValidHeaderFieldValue(credential.Reveal()) {
			errs = append(errs, fmt.Errorf("auth.%s: must hold no control characters (a line break at the end of its file, perhaps)", key))
		}
	}
	return errors.Join(errs...)
}

// target joins url to base_url and reads its placeholders. Its errors do not
// repeat the URL: its path may be a secret.
func (c Config) target() (template, error) {
	raw, root := c.URL, "url"
	if !isAbsolute(raw) {
		root = "base_url (url)"
		if c.BaseURL == "" {
			return template{}, errors.New("base_url (url): must be given where url is not absolute")
		}
		raw = strings.TrimSuffix(c.BaseURL, "/")
		if path := strings.TrimPrefix(c.URL, "/"); path != "" {
			raw += "/" + path
		}
	}
	scheme, after, found := strings.Cut(raw, "://")
	if !found || (scheme != "https" && scheme != "http") {
		return template{}, fmt.Errorf("%s: must begin with https:// (or http://, which egress.allow_http admits)", root)
	}
	// Scheme and host are cut off, so that no placeholder can choose where a request goes.
	end := strings.IndexAny(after, "/?")
	if end < 0 {
		end = len(after)
	}
	t, err := parseTemplate(scheme+"://"+after[:end], after[end:])
	return t, errors.Join(validateOrigin(root, scheme+"://"+after[:end]), validateRest(after[end:]), err)
}

func isAbsolute(raw string) bool { return strings.Contains(raw, "://") && !strings.HasPrefix(raw, "/") }

// validateOrigin checks scheme and host; key is where they were given.
func validateOrigin(key, origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || strings.ContainsAny(origin, "{}") {
		return fmt.Errorf("%s: must have a host without placeholders", key)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%s: port %s must be from 1 to 65535", key, port)
		}
	}
	if u.User != nil {
		return fmt.Errorf("%s: must hold no user or password (they belong under auth)", key)
	}
	return nil
}

func validateRest(rest string) error {
	if strings.Contains(rest, "#") {
		return errors.New("url: must have no fragment (#)")
	}
	return nil
}
