package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocalAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ listen, want string }{
		"one address":          {"10.1.2.3:8080", "10.1.2.3:8080"},
		"all of IPv4":          {"0.0.0.0:8080", "localhost:8080"},
		"all of IPv6":          {"[::]:8080", "localhost:8080"},
		"all, spelt in short":  {":8080", "localhost:8080"},
		"a port of any number": {"127.0.0.1:0", ""},
		"nowhere":              {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := localAddress(c.listen)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestWhereHealthcheckLooks: what is wrong is named with its place.
func TestWhereHealthcheckLooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const config = "version: 1\nkafka: {brokers: [\"k:9092\"]}\nschema_registry: {url: \"http://r\"}\nhttp: {listen: \"127.0.0.1:PORT\"}\n"
	anyPort, fixed := write("any.yaml", strings.ReplaceAll(config, "PORT", "0")), write("fixed.yaml", strings.ReplaceAll(config, "PORT", "8080"))
	for name, c := range map[string]struct{ config, readyFile, want, err string }{
		"a port of its own":            {fixed, "", "127.0.0.1:8080", ""},
		"a port that nobody knows":     {anyPort, "", "", anyPort + `:4:16: http.listen: "127.0.0.1:0" names no fixed port`},
		"it is in the ready file":      {anyPort, write("ready.json", `{"http": "http://127.0.0.1:4711"}`), "127.0.0.1:4711", ""},
		"a ready file without it":      {anyPort, write("empty.json", `{}`), "", "ready file " + filepath.Join(dir, "empty.json") + ": holds no http address"},
		"a ready file that is broken":  {anyPort, write("broken.json", `x`), "", "ready file " + filepath.Join(dir, "broken.json") + ": invalid character"},
		"a ready file that is a dir":   {anyPort, dir, "", "ready file " + dir + ": is a directory"},
		"a ready file that is not yet": {anyPort, filepath.Join(dir, "none"), "", "not ready: open " + filepath.Join(dir, "none")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := (&globals{config: c.config}).address(c.readyFile)
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("got %q, %v; want %q, %q", got, err, c.want, c.err)
			}
		})
	}
}
