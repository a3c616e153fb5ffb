package main

import (
	"errors"
	"os"
	"path/filepath"
)

// devConfig is what dev leaves in its data folder: the configuration of what
// it runs, with the addresses it got, so that every other command works beside
// it without a flag.
const devConfig = "holdfast.yaml"

var (
	errNoConfig = errors.New("no configuration: pass --config FILE, set HOLDFAST_CONFIG, or start `holdfast dev` here")
	errNoDev    = errors.New("is `holdfast dev` running?")
)

// configPath is the configuration that is meant: --config, $HOLDFAST_CONFIG,
// ./holdfast.yaml, or that of a dev in this folder, in this order.
func (g *globals) configPath() (string, error) {
	if g.config != "" {
		return g.config, nil
	}
	if path := os.Getenv("HOLDFAST_CONFIG"); path != "" {
		return path, nil
	}
	for _, path := range []string{"holdfast.yaml", devPath()} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", exit(exitUsage, errNoConfig)
}

func devPath() string { return filepath.Join(defaultDataDir, devConfig) }
