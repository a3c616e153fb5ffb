package main

import (
	"bytes"
	"os"
	"testing"
)

// TestKeyDocsAreFresh: what is embedded is what the comments say now.
func TestKeyDocsAreFresh(t *testing.T) {
	t.Parallel()
	var now bytes.Buffer
	if err := run([]string{"../../.."}, &now); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("../keydocs.json")
	if err != nil || now.String() != string(kept) {
		t.Errorf("keydocs.json is stale: run `make generate` (%v)", err)
	}
}
