package main

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
)

// devConfig is what dev leaves in its data folder: the configuration of what
// it runs, with the addresses it got, so that every other command works beside
// it without a flag. devLock is held by the dev that uses the folder.
const (
	devConfig = "holdfast.yaml"
	devLock   = "lock"
)

var (
	errNoConfig = errors.New("no configuration: pass --config FILE, set HOLDFAST_CONFIG, or start `holdfast dev` here; " +
		"a `dev --data DIR` is found by --config DIR")
	errNoDev = errors.New("is `holdfast dev` running?")
)

// configPath is the configuration that is meant: --config, $HOLDFAST_CONFIG,
// ./holdfast.yaml, or that of a dev in this folder, in this order.
func (g *globals) configPath() (string, error) {
	if path := cmp.Or(g.config, os.Getenv("HOLDFAST_CONFIG")); path != "" {
		return inFolder(path), nil
	}
	for _, path := range []string{devConfig, filepath.Join(defaultDataDir, devConfig)} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", exit(exitUsage, errNoConfig)
}

// inFolder lets a folder stand for the holdfast.yaml in it, such as the data
// folder of a dev.
func inFolder(path string) string {
	if about, err := os.Stat(path); err == nil && about.IsDir() { //nolint:gosec // the person who runs it names the file
		return filepath.Join(path, devConfig)
	}
	return path
}

// ofDev reports whether a dev wrote the file: its lock lies beside it.
func ofDev(file string) bool {
	_, err := os.Stat(filepath.Join(filepath.Dir(file), devLock))
	return err == nil
}
