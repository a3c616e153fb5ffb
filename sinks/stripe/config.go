package stripe

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"golang.org/x/net/http/httpguts"

	"holdfast.internal"
)

// Config is what a user writes for kind stripe.
type Config struct {
	// BaseURL is Stripe's own, or that of a simulator or proxy.
	BaseURL string `yaml:"base_url"`
	// Auth holds the credentials.
	Auth Auth `yaml:"auth"`
	// APIVersion pins Stripe's version; the default is the one that the requests of
	// this sink were checked against.
	APIVersion string `yaml:"api_version"`
	// Timeout bounds each request, such as 10s; that of the sink by default.
	Timeout time.Duration `yaml:"timeout"`
}

// Auth holds the credentials.
type Auth struct {
	// APIKey is the secret key of the account, or a restricted one that may write customers, invoices and their items.
	APIKey holdfast.Secret `yaml:"api_key"`
}

const (
	defaultBaseURL = "https://api.stripe.com"
	defaultVersion = "2026-08-26.dahlia"
)

// SetDefaults gives what is empty its default, as [New] does.
func (c *Config) SetDefaults() {
	c.BaseURL = cmp.Or(c.BaseURL, defaultBaseURL)
	c.APIVersion = cmp.Or(c.APIVersion, defaultVersion)
}

// Validate reports every broken rule by key, value and rule.
func (c Config) Validate() error {
	var errs []error
	c.SetDefaults()
	if u, err := url.Parse(c.BaseURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		errs = append(errs, errors.New("base_url: must be https://host, with a path at most"))
	}
	if c.Auth.APIKey == "" {
		errs = append(errs, errors.New("auth.api_key: must be given"))
	}
	if !httpguts.ValidHeaderFieldValue(c.Auth.APIKey.Reveal()) {
		errs = append(errs, errors.New("auth.api_key: must hold no control characters (a line break at the end of its file, perhaps)"))
	}
	version := regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$`)
	if !version.MatchString(c.APIVersion) {
		errs = append(errs, fmt.Errorf("api_version: %q must look like %s", c.APIVersion, defaultVersion))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %s must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}
