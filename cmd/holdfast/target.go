package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
)

// What a running dev leaves in its data folder, so that every other command
// works beside it without a flag: the configuration of what it runs, with the
// addresses it got, and the ready file.
const (
	devConfig = "holdfast.yaml"
	devReady  = "ready.json"
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
	if _, err := os.Stat("holdfast.yaml"); err == nil {
		return "holdfast.yaml", nil
	}
	path := filepath.Join(defaultDataDir, devConfig)
	if _, err := os.Stat(path); err != nil {
		return "", exit(exitUsage, errNoConfig)
	}
	if !devRuns(defaultDataDir) {
		g.note("holdfast: using %s, though no `holdfast dev` runs in %s now", path, defaultDataDir)
	}
	return path, nil
}

// devRuns reports whether the process that wrote a ready file is alive.
func devRuns(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, devReady)) //nolint:gosec // a folder that the user named
	if err != nil {
		return false
	}
	var ready struct {
		PID int `json:"pid"`
	}
	if json.Unmarshal(text, &ready) != nil || ready.PID <= 0 {
		return false
	}
	process, err := os.FindProcess(ready.PID)
	return err == nil && process.Signal(syscall.Signal(0)) == nil
}
