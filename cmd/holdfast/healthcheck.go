package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

var (
	errNoListen = errors.New("names no fixed port: give it one, or pass the --ready-file that run was given")
	errNoHTTP   = errors.New("holds no http address")
	errNotReady = errors.New("not ready")
)

// maxReason bounds what is read of why a process is not ready.
const maxReason = 4 << 10

// healthcheckCommand asks a running holdfast how it is, for images that have
// no shell and no curl.
func healthcheckCommand(g *globals) *cobra.Command {
	var readyFile string
	c := &cobra.Command{
		Use: "healthcheck", Short: "Ask the process that runs this configuration whether it is ready", Args: usage(cobra.NoArgs),
		Long: `Asks /readyz of the process that runs this configuration, on this host. Exits 0 if
it is ready; 1 if it is away, starts, is in trouble, or is silent for --timeout.`,
		Example: `  holdfast healthcheck --config /etc/holdfast.yaml --timeout 2s
  holdfast healthcheck --ready-file /run/holdfast.json     # where http.listen has port 0`,
		RunE: func(c *cobra.Command, _ []string) error { return healthcheck(c.Context(), g, readyFile) },
	}
	c.Flags().StringVar(&readyFile, "ready-file", "", "take the address from this `FILE`, which run or dev wrote, and not from the configuration")
	return c
}

// healthcheck exits 1, as container runtimes want it, whether the process is
// away, starting or silent for --timeout.
func healthcheck(ctx context.Context, g *globals, readyFile string) error {
	host, err := g.address(readyFile)
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
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the address is in it
		}
		return exit(exitFailed, fmt.Errorf("%w: %w", errNotReady, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason))
		return exit(exitFailed, fmt.Errorf("%s: %w: %s", host, errNotReady, cmp.Or(printable(strings.TrimSpace(string(why))), resp.Status)))
	}
	return nil
}

// address is where the process listens: as its ready file says, or its configuration.
func (g *globals) address(readyFile string) (string, error) {
	if readyFile == "" {
		cfg, err := g.loadConfig()
		if err != nil {
			return "", err
		}
		host, err := localAddress(cfg.HTTP.Listen)
		if err != nil {
			line, column := cfg.Place("http.listen")
			return "", fmt.Errorf("%s:%d:%d: http.listen: %w", cfg.File, line, column, err)
		}
		return host, nil
	}
	text, err := os.ReadFile(readyFile)
	if errors.Is(err, fs.ErrNotExist) { // away, or starting
		return "", fmt.Errorf("%w: %w", errNotReady, err)
	}
	var r readiness
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if reason, ok := errors.AsType[*fs.PathError](err); ok { // the path is in it
		err = reason.Err
	}
	if err != nil {
		return "", fmt.Errorf("ready file %s: %w", readyFile, err)
	}
	host, err := localAddress(strings.TrimPrefix(r.HTTP, "http://"))
	if err != nil {
		return "", fmt.Errorf("ready file %s: %w", readyFile, errNoHTTP)
	}
	return host, nil
}

// localAddress is where a listener is reached from its own host: one that
// listens on all addresses also does on loopback.
func localAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return "", fmt.Errorf("%q %w", listen, errNoListen)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}
