package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/spf13/cobra"
)

var (
	errNoListen = errors.New("http.listen names no fixed port, so nothing can be asked")
	errNotReady = errors.New("not ready")
)

// healthcheckCommand asks a running holdfast how it is, for images that have
// no shell and no curl.
func healthcheckCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck", Short: "Ask the process that runs this configuration whether it is ready", Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return healthcheck(c.Context(), g) },
	}
}

// healthcheck exits 1, as container runtimes want it, whether the process is
// away, starting or silent for --timeout.
func healthcheck(ctx context.Context, g *globals) error {
	cfg, err := g.loadConfig()
	if err != nil {
		return err
	}
	host, err := localAddress(cfg.HTTP.Listen)
	if err != nil {
		return err
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy between us and ourselves
	resp, err := client.Do(req)
	if err != nil {
		return exit(exitFailed, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return exit(exitFailed, fmt.Errorf("%s: %w: %s", host, errNotReady, resp.Status))
	}
	return nil
}

// localAddress is where a listener is reached from its own host: one that
// listens on all addresses also does on loopback.
func localAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return "", fmt.Errorf("%w: %q", errNoListen, listen)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}
