// Package registry talks to the Schema Registry: it registers the embedded
// schemas at their level, and its [Serde] turns wire bytes into values and
// back, with every answer of the registry that cannot change kept for good.
package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"holdfast.internal"
)

// Config says how to reach the registry. URL may hold a base path, such as
// /apis/ccompat/v7.
type Config struct {
	URL      string
	Username string
	Password holdfast.Secret
	// Transport is for tests that dial a virtual network; nil: a transport of our own.
	Transport http.RoundTripper
}

// Bounds on what a registry, which may be slow or hostile, can cost us.
const (
	requestTimeout = 2 * time.Second
	maxAnswer      = 1 << 20
	maxDepth       = 64
)

// NewClient makes a client of the registry.
func NewClient(cfg Config) (*sr.Client, error) {
	transport := cfg.Transport
	if transport == nil {
		transport = &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: requestTimeout}
	}
	opts := []sr.ClientOpt{
		sr.URLs(cfg.URL),
		sr.UserAgent("holdfast"),
		sr.HTTPClient(&http.Client{Timeout: requestTimeout, Transport: bounded{transport}}),
	}
	if cfg.Username != "" {
		opts = append(opts, sr.BasicAuth(cfg.Username, cfg.Password.Reveal()))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("schema registry client: %w", err)
	}
	return client, nil
}

// plain takes the URL away that the client writes around net/http's own.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u
	}
	return err
}

// bounded refuses to read more than maxAnswer of an answer, and cuts an error
// page there, so that a huge one cannot fill memory.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer) // an http.MaxBytesError to the reader
		return resp, nil
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
